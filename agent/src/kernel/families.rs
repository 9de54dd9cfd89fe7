//! Address families that the kernel lacks: an image that needs them is refused before anything is
//! changed.

use proto_core::ip::AF_INET6;
use proto_core::netlink::Errno;
use proto_core::protocol::config::Item;
use proto_core::protocol::message::Code;

use crate::config::plan::{Step, Work, subject};
use crate::fault::Fault;
use crate::kernel::exchange::Kernel;
use crate::system::{File, NetlinkSocket};

/// Fails if an item to be added needs IPv6 and the kernel lacks IPv6. Call it after `compare`.
///
/// # Errors
/// [`Code::Kernel`] naming the item, with `EAFNOSUPPORT`; [`Code::Storage`].
pub fn check<N: NetlinkSocket, F: File>(
    kernel: &mut Kernel<'_, N>,
    work: &mut Work<'_, F>,
) -> Result<(), Fault> {
    let mut has_ipv6 = None;
    let mut step = Step::before(0);
    while work.wanted(&mut step, false)? {
        let text = match &step.item {
            Item::Peer(_) => break,
            Item::Rule(rule) if rule.v6 && kernel.no_ipv6_rules => {
                "the router's kernel has no policy rules for IPv6: leave the IPv6 default route out of the file, or \
                 set Table"
            }
            Item::Address(net)
            | Item::Route(proto_core::protocol::config::Route { to: net, .. })
                if net.family() == AF_INET6
                    && !*has_ipv6.get_or_insert_with(|| kernel.has_ipv6()) =>
            {
                "the router's kernel has no IPv6: leave the IPv6 addresses and networks out of the file"
            }
            _ => continue,
        };
        let subject = subject(&step.item);
        return Err(kernel.slot.say(
            Code::Kernel,
            subject,
            Errno::EAFNOSUPPORT,
            format_args!("{text}"),
        ));
    }
    Ok(())
}
