//! Networks in a file of any length.

use proto_core::ip::IpNet;
use proto_core::protocol::config::{ITEM_KEY_LEN, Item, ItemKey};

use crate::fault::Fault;
use crate::system::File;
use crate::wg::spool::Spool;

/// The networks, in the order they were told.
pub(super) struct Nets<'w, F>(pub(super) Spool<'w, F>);

impl<F: File> Nets<'_, F> {
    pub(super) fn push(&mut self, net: IpNet) -> Result<(), Fault> {
        self.0.append(&Item::Address(net).key().0)
    }

    pub(super) fn count(&self) -> u32 {
        self.0.records(ITEM_KEY_LEN)
    }

    pub(super) const fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn get(&mut self, n: u32) -> Result<Option<IpNet>, Fault> {
        let mut key = [0; ITEM_KEY_LEN];
        self.0.read(n.saturating_mul(ITEM_KEY_LEN as u32), &mut key)?;
        Ok(match Item::from_key(&ItemKey(key)) {
            Some(Item::Address(net)) => Some(net),
            // Nothing else was pushed.
            _ => None,
        })
    }
}
