//! Routes.
//!
//! Source: `linux/rtnetlink.h` (`struct rtmsg`, `RTA_*`).

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{CHANGE, IfExists, LIST};
use crate::ip::{AF_INET, AF_INET6, IpNet};
use crate::netlink::read::{AttributeError, Fields, Message, ParseError, Wrong};
use crate::netlink::{Full, Writer};

/// The type of a message that adds or reports a route.
pub const RTM_NEWROUTE: u16 = 24;
/// The type of a message that removes a route.
pub const RTM_DELROUTE: u16 = 25;
/// The type of a request for a route.
pub const RTM_GETROUTE: u16 = 26;

const RTA_DST: u16 = 1;
const RTA_IIF: u16 = 3;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_METRICS: u16 = 8;
const RTA_MULTIPATH: u16 = 9;
const RTA_TABLE: u16 = 15;
const RTA_VIA: u16 = 18;
const RTA_NEWDST: u16 = 19;
const RTA_ENCAP: u16 = 22;
const RTA_NH_ID: u16 = 30;
const RTAX_MTU: u16 = 2;

/// `rtm_type`: packets are forwarded to a gateway or a device.
pub const RTN_UNICAST: u8 = 1;
/// `rtm_protocol`: added by the kernel itself.
pub const RTPROT_KERNEL: u8 = 2;
/// `rtm_protocol`: added during boot; what `ip route add` uses.
pub const RTPROT_BOOT: u8 = 3;
/// `rtm_protocol`: added by an administrator.
pub const RTPROT_STATIC: u8 = 4;
/// `rtm_scope`: anywhere.
pub const RT_SCOPE_UNIVERSE: u8 = 0;
/// `rtm_scope`: on the link itself.
pub const RT_SCOPE_LINK: u8 = 253;
/// The table that is used unless a rule says otherwise.
pub const RT_TABLE_MAIN: u32 = 254;
/// The table of the machine's own addresses.
pub const RT_TABLE_LOCAL: u32 = 255;

/// The metric of an IPv6 route that is added without one (`linux/ipv6_route.h`).
pub const IP6_RT_PRIO_USER: u32 = 1024;

/// A route. A route that was added is read back equal, unless the kernel chose the metric or the
/// destination has host bits. A preferred source, metrics such as an MTU, and flags are not read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Route {
    /// The destination. A request is written with the host bits cleared.
    pub dst: IpNet,
    /// The table, `RTA_TABLE` or `rtm_table`.
    pub table: u32,
    /// `RTA_PRIORITY`: the smallest metric is used first. IPv6 has no metric 0 and uses
    /// [`IP6_RT_PRIO_USER`] instead.
    pub metric: u32,
    /// `rtm_protocol`: the origin of the route.
    pub protocol: u8,
    /// `rtm_scope`. IPv6 has none and sends 0.
    pub scope: u8,
    /// `rtm_type`, mostly [`RTN_UNICAST`].
    pub kind: u8,
    /// `RTA_OIF`: the outgoing interface.
    pub oif: Option<u32>,
    /// `RTA_GATEWAY`: the next hop.
    pub gateway: Option<IpAddr>,
    /// Only when read: the route has a selector or a target that has no field here: a type of
    /// service, a source, several next hops, a next hop of another family or a next hop object, an
    /// encapsulation. Writing such a route would add a different one.
    pub other: bool,
}

impl Route {
    /// A route to `dst` directly through the interface `oif`, as `ip route add DST dev OIF` adds
    /// it: IPv4 with link scope, IPv6 without scope and with the kernel's default metric.
    #[must_use]
    pub const fn device(dst: IpNet, oif: u32, table: u32, protocol: u8) -> Self {
        let (scope, metric) = match dst.addr {
            IpAddr::V4(_) => (RT_SCOPE_LINK, 0),
            IpAddr::V6(_) => (RT_SCOPE_UNIVERSE, IP6_RT_PRIO_USER),
        };
        let (kind, oif) = (RTN_UNICAST, Some(oif));
        Self { dst, table, metric, protocol, scope, kind, oif, gateway: None, other: false }
    }

    /// Reads an `RTM_NEWROUTE`. For families other than IPv4 and IPv6 (the kernel treats multicast
    /// routes as separate families) the error is [`ParseError::Family`].
    ///
    /// # Errors
    /// [`ParseError`] for a malformed message.
    pub fn parse(message: &Message<'_>) -> Result<Self, ParseError> {
        if message.ty == RTM_NEWROUTE {
            Self::read(message)
        } else {
            Err(ParseError::Type(message.ty))
        }
    }

    /// Reads a message of a type that was checked.
    pub(super) fn read(message: &Message<'_>) -> Result<Self, ParseError> {
        let (header, attributes) = message.split::<12>()?;
        let [family, dst_len, src_len, tos, table, protocol, scope, kind, ..] = *header;
        let any = match family {
            AF_INET => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            AF_INET6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            _ => return Err(ParseError::Family(family)),
        };
        let mut dst = None;
        let mut route = Self {
            dst: IpNet { addr: any, prefix: 0 },
            table: u32::from(table),
            metric: 0,
            protocol,
            scope,
            kind,
            oif: None,
            gateway: None,
            other: src_len != 0 || tos != 0,
        };
        let mut fields = Fields::new(attributes);
        while let Some(ty) = fields.advance() {
            match ty {
                RTA_DST => dst = fields.ip(),
                RTA_OIF => route.oif = Some(fields.u32()),
                RTA_GATEWAY => route.gateway = fields.ip(),
                RTA_PRIORITY => route.metric = fields.u32(),
                RTA_TABLE => route.table = fields.u32(),
                RTA_IIF | RTA_MULTIPATH | RTA_VIA | RTA_NEWDST | RTA_ENCAP | RTA_NH_ID => {
                    route.other = true;
                }
                _ => {}
            }
        }
        fields.end()?;
        route.dst = IpNet::new(dst.unwrap_or(any), dst_len)
            .filter(|net| net.family() == family)
            .ok_or(AttributeError { ty: RTA_DST, wrong: Wrong::Value })?;
        Ok(route)
    }

    /// Writes the request to add it. Expects an acknowledgement.
    ///
    /// # Errors
    /// [`Full`] if `buf` is too short.
    pub fn add<'b>(
        &self,
        buf: &'b mut [u8],
        seq: u32,
        if_exists: IfExists,
    ) -> Result<&'b [u8], Full> {
        self.write(buf, RTM_NEWROUTE, if_exists.flags(), seq)
    }

    /// Writes the request to remove it. Expects an acknowledgement; `ESRCH` if it does not exist.
    ///
    /// # Errors
    /// [`Full`] if `buf` is too short.
    pub fn delete<'b>(&self, buf: &'b mut [u8], seq: u32) -> Result<&'b [u8], Full> {
        self.write(buf, RTM_DELROUTE, CHANGE, seq)
    }

    fn write<'b>(
        &self,
        buf: &'b mut [u8],
        ty: u16,
        flags: u16,
        seq: u32,
    ) -> Result<&'b [u8], Full> {
        let mut writer = Writer::new(buf);
        writer.message(ty, flags, seq, 0)?;
        let dst = self.dst.masked();
        let table = short_table(self.table);
        let head = [dst.family(), dst.prefix, 0, 0, table, self.protocol, self.scope, self.kind];
        writer.header(&rtmsg(head))?;
        writer.ip(RTA_DST, dst.addr)?;
        filter_attributes(&mut writer, self.table, self.oif)?;
        if let Some(gateway) = self.gateway {
            writer.ip(RTA_GATEWAY, gateway)?;
        }
        if self.metric != 0 {
            writer.u32(RTA_PRIORITY, self.metric)?;
        }
        Ok(writer.finish())
    }
}

/// Writes the request for the route of packets to `addr`. Expects a reply; `ENETUNREACH` and other
/// errors if there is none.
///
/// # Errors
/// [`Full`] if `buf` is too short.
pub fn get(buf: &mut [u8], seq: u32, addr: IpAddr) -> Result<&[u8], Full> {
    let mut writer = Writer::new(buf);
    writer.message(RTM_GETROUTE, CHANGE, seq, 0)?;
    let whole = IpNet { addr, prefix: 0 };
    writer.header(&rtmsg([whole.family(), whole.max_prefix(), 0, 0, 0, 0, 0, 0]))?;
    writer.ip(RTA_DST, addr)?;
    Ok(writer.finish())
}

/// The MTU in an `RTM_NEWROUTE`, which is smaller than the interface's; most routes have none.
///
/// # Errors
/// [`ParseError`] for a malformed message.
pub fn path_mtu(message: &Message<'_>) -> Result<Option<u32>, ParseError> {
    let (_, attributes) = message.split::<12>()?;
    let mut mtu = None;
    let mut fields = Fields::new(attributes);
    while let Some(ty) = fields.advance() {
        if ty == RTA_METRICS {
            let mut metrics = Fields::new(fields.nested());
            while let Some(ty) = metrics.advance() {
                if ty == RTAX_MTU {
                    mtu = Some(metrics.u32());
                }
            }
            fields.nest(metrics);
        }
    }
    fields.end()?;
    Ok(mtu)
}

/// A filter for a list of routes. `None` matches all.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct RouteFilter {
    /// Through this interface.
    pub oif: Option<u32>,
    /// In this table.
    pub table: Option<u32>,
    /// With this protocol.
    pub protocol: Option<u8>,
}

impl RouteFilter {
    /// Whether `route` matches the filter.
    #[must_use]
    pub fn matches(&self, route: &Route) -> bool {
        self.oif.is_none_or(|oif| route.oif == Some(oif))
            && self.table.is_none_or(|table| route.table == table)
            && self.protocol.is_none_or(|protocol| route.protocol == protocol)
    }

    /// Writes the request for the routes of a family, [`AF_INET`] or [`AF_INET6`]. Expects a dump;
    /// `ENODEV` if the interface does not exist, `ENOENT` if the table does not exist.
    ///
    /// # Errors
    /// [`Full`] if `buf` is too short.
    pub fn list<'b>(&self, buf: &'b mut [u8], seq: u32, family: u8) -> Result<&'b [u8], Full> {
        let mut writer = Writer::new(buf);
        writer.message(RTM_GETROUTE, LIST, seq, 0)?;
        let table = self.table.unwrap_or(0);
        let protocol = self.protocol.unwrap_or(0);
        writer.header(&rtmsg([family, 0, 0, 0, short_table(table), protocol, 0, 0]))?;
        filter_attributes(&mut writer, table, self.oif)?;
        Ok(writer.finish())
    }
}

/// `rtm_table`, which cannot hold table numbers from 256 on; these are in `RTA_TABLE` only.
fn short_table(table: u32) -> u8 {
    u8::try_from(table).unwrap_or(0)
}

/// A `struct rtmsg`: eight fields of one byte, and flags of zero.
const fn rtmsg(fields: [u8; 8]) -> [u8; 12] {
    let [a, b, c, d, e, f, g, h] = fields;
    [a, b, c, d, e, f, g, h, 0, 0, 0, 0]
}

fn filter_attributes(writer: &mut Writer<'_>, table: u32, oif: Option<u32>) -> Result<(), Full> {
    if u8::try_from(table).is_err() {
        writer.u32(RTA_TABLE, table)?;
    }
    if let Some(oif) = oif {
        writer.u32(RTA_OIF, oif)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::fixture::{datagram, messages};

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    /// Three routes in a table beyond 255, whose number `rtm_table` cannot hold (Linux 6.18, x86_64).
    #[cfg(target_endian = "little")]
    #[test]
    fn routes_of_a_real_kernel() {
        let bytes = crate::netlink::fixture::hex(
            "34000000 1800 2200 9f000000 a83f0000 02000000 fc04fd01 00000000 08000f00 6cca0000 \
             08000600 4d000000 08000400 02000000 \
             3c000000 1800 2200 9f000000 a83f0000 02100000 fc04fd01 00000000 08000f00 6cca0000 \
             08000100 0a4d0000 08000600 4d000000 08000400 02000000 \
             74000000 1800 2200 a3000000 a83f0000 0a200000 fc040001 00000000 08000f00 6cca0000 \
             14000100 fd770000 00000000 00000000 00000000 08000600 00040000 08000400 02000000 \
             24000c00 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 \
             05001400 00000000",
        );
        let read: Vec<_> = messages(&bytes).iter().map(|m| Route::parse(m).unwrap()).collect();
        let device = |text| Route::device(net(text), 2, 51820, RTPROT_STATIC);
        assert_eq!(
            read,
            [
                Route { metric: 77, ..device("0.0.0.0/0") },
                Route { metric: 77, ..device("10.77.0.0/16") },
                device("fd77::/32"),
            ]
        );
        let filter = RouteFilter { oif: Some(2), table: Some(51820), protocol: Some(4) };
        assert!(read.iter().all(|route| filter.matches(route)));
    }

    #[test]
    fn what_is_written_is_read() {
        let mut buf = [0xaa; 128];
        for dst in ["10.0.0.0/8", "0.0.0.0/0", "fd00::/8", "::/0", "10.1.2.3/32"] {
            for (table, metric, gateway) in
                [(254, 0, None), (256, 1, None), (u32::MAX, 5, Some(IpAddr::from([9; 4])))]
            {
                let route = Route { metric, gateway, ..Route::device(net(dst), 7, table, 4) };
                let request = messages(route.add(&mut buf, 1, IfExists::Fail).unwrap())[0];
                assert_eq!((request.ty, request.flags), (RTM_NEWROUTE, 0x605));
                assert_eq!(Route::parse(&request), Ok(route));
                let request = messages(route.delete(&mut buf, 1).unwrap())[0];
                assert_eq!((request.ty, request.flags), (RTM_DELROUTE, 5));
            }
        }
    }

    #[test]
    fn host_bits_do_not_reach_the_kernel() {
        let mut buf = [0; 128];
        let route = Route::device(net("10.1.2.3/8"), 7, RT_TABLE_MAIN, RTPROT_BOOT);
        let request = messages(route.add(&mut buf, 1, IfExists::Replace).unwrap())[0];
        assert_eq!(Route::parse(&request).unwrap().dst, net("10.0.0.0/8"));
    }

    #[test]
    fn filters() {
        let mut buf = [0xaa; 128];
        let mut list = |filter: RouteFilter| {
            let request = messages(filter.list(&mut buf, 1, AF_INET6).unwrap())[0];
            assert_eq!((request.ty, request.flags), (RTM_GETROUTE, 0x305));
            let (header, attributes) = request.split::<12>().unwrap();
            let [family, _, _, _, table, protocol, ..] = *header;
            let attributes = attributes.map(|a| a.unwrap()).map(|a| (a.ty, a.u32().unwrap()));
            (family, table, protocol, attributes.collect::<Vec<_>>())
        };
        assert_eq!(list(RouteFilter::default()), (10, 0, 0, vec![]));
        let filter = RouteFilter { oif: Some(7), table: Some(255), protocol: Some(4) };
        assert_eq!(list(filter), (10, 255, 4, vec![(RTA_OIF, 7)]));
        let filter = RouteFilter { table: Some(256), ..filter };
        assert_eq!(list(filter), (10, 0, 4, vec![(RTA_TABLE, 256), (RTA_OIF, 7)]));

        let route = Route::device(net("10.0.0.0/8"), 7, 256, 4);
        assert!(filter.matches(&route) && RouteFilter::default().matches(&route));
        for other in [
            Route { oif: None, ..route },
            Route { table: 254, ..route },
            Route { protocol: 3, ..route },
        ] {
            assert!(!filter.matches(&other));
        }
    }

    #[test]
    fn routes_with_more_to_them_are_marked() {
        let parse = |src_len, tos, put: fn(&mut Writer<'_>) -> Result<(), Full>| {
            let bytes = datagram(|w| {
                w.message(RTM_NEWROUTE, 0, 1, 1)?;
                w.header(&rtmsg([AF_INET, 0, src_len, tos, 254, 4, 0, 1]))?;
                put(w)
            });
            Route::parse(&messages(&bytes)[0]).unwrap().other
        };
        assert!(!parse(0, 0, |w| w.u32(RTA_PRIORITY, 7)));
        assert!(parse(0, 8, |_| Ok(())));
        assert!(parse(24, 0, |_| Ok(())));
        // The numbers of the attributes, as the kernel has them.
        assert!(parse(0, 0, |w| w.bytes(9, &[8, 0, 0, 0, 7, 0, 0, 0])));
        assert!(parse(0, 0, |w| w.bytes(18, &[10, 0])));
        assert!(parse(0, 0, |w| w.u32(30, 5)));
        assert!(parse(0, 0, |w| w.bytes(22, &[])));
    }

    #[test]
    fn what_cannot_be_a_route_is_an_error() {
        let parse = |family, dst_len, dst: &[u8]| {
            let bytes = datagram(|w| {
                w.message(RTM_NEWROUTE, 0, 1, 1)?;
                w.header(&rtmsg([family, dst_len, 0, 0, 0, 0, 0, 0]))?;
                w.bytes(RTA_DST, dst)
            });
            Route::parse(&messages(&bytes)[0]).map(|route| route.dst)
        };
        let error = |wrong| Err(ParseError::Attribute(AttributeError { ty: RTA_DST, wrong }));
        assert_eq!(parse(2, 33, &[1; 4]), error(Wrong::Value));
        assert_eq!(parse(2, 24, &[1; 16]), error(Wrong::Value));
        assert_eq!(parse(2, 24, &[1; 3]), error(Wrong::Length));
        assert_eq!(parse(128, 0, &[]), Err(ParseError::Family(128)));
    }
}
