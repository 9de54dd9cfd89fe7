//! Networks in a file of any length.

use proto_core::ip::IpNet;
use proto_core::protocol::config::{ITEM_KEY_LEN, Item, ItemKey};

use super::spool::Spool;
use crate::fault::Fault;
use crate::system::File;

/// The networks, in the order of the input.
pub(crate) struct Nets<'w, F>(pub(crate) Spool<'w, F>);

impl<F: File> Nets<'_, F> {
    pub(crate) fn push(&mut self, net: IpNet) -> Result<(), Fault> {
        self.0.append(&Item::Address(net).key().0)
    }

    pub(crate) fn count(&self) -> u32 {
        self.0.records(ITEM_KEY_LEN)
    }

    pub(crate) const fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn get(&mut self, n: u32) -> Result<Option<IpNet>, Fault> {
        let mut key = [0; ITEM_KEY_LEN];
        self.0.read(n.saturating_mul(ITEM_KEY_LEN as u32), &mut key)?;
        Ok(match Item::from_key(&ItemKey(key)) {
            Some(Item::Address(net)) => Some(net),
            // Only networks were pushed.
            _ => None,
        })
    }
}
