//! Extracts datagrams from the output of strace with `-e read=all -e write=all`:
//!
//! ```text
//! socket(AF_NETLINK, SOCK_RAW, NETLINK_GENERIC) = 3
//! sendto(3, [{nlmsg_len=36, ...}], 36, 0, {sa_family=AF_NETLINK, ...}, 12) = 36
//!  | 00000  24 00 00 00 10 00 05 00  9f 37 23 67 00 00 00 00  $........7#g.... |
//! ```
//!
//! Only the bytes that follow a call are read, not its arguments, which strace decodes.

use anyhow::{Context, Result, ensure};

/// The bytes of one call on the socket.
#[derive(Debug, PartialEq)]
pub(super) struct Datagram {
    /// Whether `wg` sent the datagram; otherwise the kernel did.
    pub(super) sent: bool,
    pub(super) bytes: Vec<u8>,
}

/// The datagrams of generic netlink sockets; `wg` has other sockets, to list the interfaces.
pub(super) fn datagrams(trace: &[&str]) -> Result<Vec<Datagram>> {
    let mut sockets: Vec<&str> = Vec::new();
    let mut found: Vec<(Datagram, usize)> = Vec::new();
    // Whether the bytes that follow belong to such a socket.
    let mut wanted = false;
    for line in trace {
        if let Some(dump) = line.strip_prefix(" | ") {
            if wanted && let Some((datagram, _)) = found.last_mut() {
                datagram.bytes.extend(dumped(dump).with_context(|| (*line).to_owned())?);
            }
            continue;
        }
        let Some((call, rest)) = line.split_once('(') else {
            continue;
        };
        wanted = false;
        // The last one, because strace prints further ones inside structures.
        let result = line.rsplit_once(" = ").map_or("", |(_, result)| result);
        let descriptor = rest.split([',', ')']).next().unwrap_or_default();
        match call {
            "socket" if rest.contains("NETLINK_GENERIC") => sockets.push(result),
            "close" => sockets.retain(|socket| *socket != descriptor),
            "sendto" | "recvmsg" if sockets.contains(&descriptor) => {
                let length = result.parse().with_context(|| format!("{call} failed: {line}"))?;
                let sent = call == "sendto";
                found.push((Datagram { sent, bytes: Vec::new() }, length));
                wanted = true;
            }
            _ => {}
        }
    }
    found
        .into_iter()
        .map(|(datagram, length)| {
            ensure!(datagram.bytes.len() == length, "{length} bytes in the call: {datagram:?}");
            Ok(datagram)
        })
        .collect()
}

/// The bytes of `00000  24 00 00 00 10 00 05 00  9f 37 23 67 00 00 00 00  $........7#g.... |`.
fn dumped(line: &str) -> Result<Vec<u8>> {
    let (_, columns) = line.split_once("  ").context("no offset")?;
    // 16 times two digits and a space, and one more space in the middle.
    let columns = columns.get(..49).context("too short")?;
    columns.split_whitespace().map(|byte| Ok(u8::from_str_radix(byte, 16)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_generic_netlink_counts() {
        let trace = [
            "socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE) = 3",
            "sendto(3, [{nlmsg_len=4}], 4, 0, {sa_family=AF_NETLINK}, 12) = 4",
            " | 00000  01 02 03 04                                       .... |",
            "close(3)                                = 0",
            "socket(AF_NETLINK, SOCK_RAW, NETLINK_GENERIC) = 3",
            "sendto(3, [{nlmsg_len=17, a = 2}], 17, 0, NULL, 0) = 17",
            " | 00000  00 01 02 03 04 05 06 07  08 09 0a 0b 0c 0d 0e 0f  ................ |",
            " | 00010  7c                                                | |",
            "recvmsg(3, {msg_name={}, msg_iov=[{iov_base=[]}]}, 0) = 2",
            " * 2 bytes in buffer 0",
            " | 00000  20 20                                               |",
            "+++ exited with 0 +++",
        ];
        let mut sent: Vec<u8> = (0..16).collect();
        sent.push(0x7c);
        let expected =
            [Datagram { sent: true, bytes: sent }, Datagram { sent: false, bytes: vec![32; 2] }];
        assert_eq!(datagrams(&trace).unwrap(), expected);
    }

    #[test]
    fn a_call_without_all_its_bytes_is_an_error() {
        let trace = ["socket(AF_NETLINK, SOCK_RAW, NETLINK_GENERIC) = 3", "sendto(3, ...) = 4"];
        assert!(datagrams(&trace).is_err());
    }
}
