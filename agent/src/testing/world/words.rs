//! Requests for a change of links, addresses, routes and rules in words.

use proto_core::netlink::Message;
use proto_core::netlink::route::{Addr, Route, Rule};

use super::ip::{DEL_ADDR, DEL_ROUTE, DEL_RULE, NEW_ADDR, NEW_ROUTE, NEW_RULE};
use super::{DEL_LINK, NEW_LINK};

/// What a request asks for. A removal begins with `no`.
pub(super) fn of(message: &Message<'_>) -> String {
    // The parsers take messages of the lists, which have the types of additions.
    let added = |ty| Message { ty, ..*message };
    match message.ty {
        NEW_ADDR | DEL_ADDR => {
            let no = if message.ty == DEL_ADDR { "no " } else { "" };
            let net = Addr::parse(&added(NEW_ADDR)).map(|addr| addr.net.to_string());
            format!("{no}{}", net.unwrap_or_default())
        }
        NEW_ROUTE | DEL_ROUTE => {
            let no = if message.ty == DEL_ROUTE { "no " } else { "" };
            let Ok(Route { dst, table, .. }) = Route::parse(&added(NEW_ROUTE)) else {
                return format!("{no}route");
            };
            format!("{no}{dst} in {table}")
        }
        NEW_RULE | DEL_RULE => {
            let no = if message.ty == DEL_RULE { "no " } else { "" };
            let Ok(rule) = Rule::parse(&added(NEW_RULE)) else { return format!("{no}rule") };
            let Rule { family, table, fwmark, suppress_prefixlen, .. } = rule;
            format!("{no}rule {family} {table} {fwmark:?} {suppress_prefixlen:?}")
        }
        NEW_LINK => "link".to_owned(),
        DEL_LINK => "no link".to_owned(),
        _ => "set link".to_owned(),
    }
}
