//! The messages and hints for the failures that a router reports.

use proto_core::netlink::Errno;
use proto_core::protocol::message::{Code, Failure, Name, State, Subject};

use crate::session::printable;

/// What failed, in the words of the router if it has any. `interface` is named where the failure is about the
/// interface.
pub(crate) fn message(failure: &Failure, interface: Option<&Name>) -> String {
    let text = printable(&failure.text);
    let mut message = String::new();
    if let (Some(interface), Subject::Interface) = (interface, &failure.subject) {
        // The text may have the name in it.
        if !text.split(' ').any(|word| word.trim_end_matches(',') == interface.as_str()) {
            message += &format!("interface {interface}: ");
        }
    } else if failure.subject != Subject::None {
        message += &format!("{}: ", failure.subject);
    }
    message += if text.is_empty() { words(failure.code) } else { &text };
    match errno_name(failure.errno) {
        Some(name) if !text.contains(name) => message += &format!(" ({name})"),
        None if failure.errno != 0
            && !names_errno(&text)
            && !numbers_errno(&text, failure.errno) =>
        {
            message += &format!(" (errno {})", failure.errno)
        }
        _ => {}
    }
    // What became of the router, in a word of a later release.
    if let State::Unknown(number) = failure.state {
        message += &format!(" (state {number})");
    }
    message
}

/// The hint for a failure.
pub(crate) fn advice(failure: &Failure) -> Option<&'static str> {
    match failure.code {
        Code::Storage => storage_hint(failure.errno),
        code => hint(code),
    }
}

/// Whether the router's text ends with the name of an error. The router knows its error numbers best.
fn names_errno(text: &str) -> bool {
    let name = text.strip_suffix(')').and_then(|text| text.rsplit_once('(')).map(|(_, name)| name);
    name.and_then(|name| name.strip_prefix('E')).is_some_and(|rest| {
        !rest.is_empty()
            && rest.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
    })
}

/// Whether the router's text already ends with the number.
fn numbers_errno(text: &str, errno: u16) -> bool {
    text.ends_with(&format!("errno {errno}"))
}

/// The name of an error number of the router. The protocol uses the numbers of `asm-generic` on every
/// architecture.
pub(crate) fn errno_name(errno: u16) -> Option<&'static str> {
    if errno == 0 { None } else { Errno::from_generic(errno).name() }
}

/// The hint for a storage failure, by the error of the router's file system.
fn storage_hint(errno: u16) -> Option<&'static str> {
    Some(match Errno::from_generic(errno) {
        Errno::EROFS => "the router's /etc is read-only: its flash may be full or damaged",
        Errno::EIO | Errno::EUCLEAN | Errno::EBADMSG => {
            "the router's flash may be damaged: check the router's kernel log"
        }
        Errno::EACCES | Errno::EPERM => "run postwired as root, or let it write where --keep says",
        Errno(0) | Errno::ENOSPC | Errno::EDQUOT => {
            "free some space on the router, or push fewer peers"
        }
        _ => return None,
    })
}

/// The name of a code in snake case; `code_N` for a number unknown to this version.
pub(crate) fn code_name(code: Code) -> String {
    let Some(name) = code.name() else { return format!("code_{}", code.number()) };
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// The message for a failure without a text from the router.
const fn words(code: Code) -> &'static str {
    match code {
        Code::Version => "the router speaks another version of the protocol",
        Code::Malformed => "the router did not understand a message",
        Code::Busy => "another client is making a change",
        Code::Gone => "the upload or download has expired on the router",
        Code::Incomplete => "the upload on the router is incomplete",
        Code::Digest => "the bytes on the router do not match the digest",
        Code::Config => "the router rejected this configuration",
        Code::NotAllowed => "the agent is not allowed to change this interface",
        Code::NoWireGuard => "the kernel has no WireGuard",
        Code::WrongKind => "an interface of that name exists and is not a WireGuard interface",
        Code::NoInterface => "no interface has that name",
        Code::Permission => "the agent lacks the required privileges",
        Code::Kernel => "the kernel refused the change",
        Code::Verify => "the kernel's state does not match what was applied",
        Code::Storage => "the router could not store the data",
        Code::Unsteady => "the kernel's tables kept changing while they were read",
        Code::Forbidden => "your role on this router does not allow it",
        Code::Unclaimed => "the router is unclaimed",
        Code::Claimed => "the router already has an owner",
        Code::LastAdmin => "this is the router's last admin",
        Code::Full => "the router's list of owners is full",
        Code::NoOwner => "the router has no such owner",
        Code::Proof => "the label's secret is wrong or was already used",
        Code::NotPending => "no change is pending",
        Code::NotFresh => "the session is not newer than the pending change",
        Code::NotStored => "no stored configuration has that interface and number",
        Code::Damaged => "the stored configuration is damaged",
        Code::Unsupported => "the router does not know this request",
        Code::Foreign => "postwired did not make this interface",
        Code::Unknown(_) => {
            "the router reported a failure that this version of postwire does not know"
        }
    }
}

/// The hint for an unclaimed router.
pub(super) const CLAIM: &str = "claim it with `postwire claim --serial DEV`";

const fn hint(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::Version => "use postwire and postwired of the same release",
        Code::Unsupported => "the router's postwired is older than this postwire: update postwired",
        Code::Unknown(_) => "the router's postwired is newer than this postwire: update postwire",
        Code::Malformed | Code::Incomplete | Code::Digest | Code::Config => {
            "use postwire and postwired of the same release; if you do, please report this"
        }
        Code::Busy => {
            "wait for the other client to finish, then try again; a pending change is kept with \
             `postwire confirm` and reverted with `postwire revert`"
        }
        Code::NotAllowed => {
            "postwired was started for other interfaces: check its --interface option on the router"
        }
        Code::NoWireGuard => {
            "install the WireGuard module on the router; on OpenWrt the package is kmod-wireguard"
        }
        Code::WrongKind => {
            "push under another name with --interface; `postwire remove` removes what is stored under this one"
        }
        Code::NoInterface => "`postwire status` lists the router's interfaces",
        Code::Permission => "run postwired as root, or with CAP_NET_ADMIN",
        Code::Verify => {
            "`postwire diff` shows the differences; check whether another program manages this interface"
        }
        Code::Unsteady => {
            "another program keeps changing this interface: stop that program, then try again"
        }
        Code::Forbidden => {
            "ask an admin of this router to change your role with `postwire owner add`; `postwire \
             owners` lists the admins"
        }
        Code::Unclaimed => CLAIM,
        Code::Claimed => {
            "ask an admin of the router to run `postwire owner add` with the key that `postwire \
             key` shows, or run `postwired reset-owner` on the router itself"
        }
        Code::LastAdmin => {
            "make another owner an admin first, with `postwire owner add KEY --role admin --name NAME`"
        }
        Code::Full => "remove an owner first; `postwire owners` lists them",
        Code::NoOwner => "`postwire owners` lists the router's owners",
        Code::Proof => "check the label; over a serial cable no secret is needed",
        Code::NotPending => {
            "the change was confirmed or reverted: `postwire history` shows the stored configurations, \
             `postwire status` the running one"
        }
        Code::NotFresh => "run the command again: each run opens a new session",
        Code::NotStored => "`postwire history` lists the stored configurations",
        Code::Damaged => {
            "push the configuration again; `postwire history` shows whether an earlier one is intact"
        }
        Code::Foreign => {
            "stop what manages it (netifd: remove its section from /etc/config/network), then take it over with \
             `postwire push --adopt`; or push under another name with --interface"
        }
        Code::Gone | Code::Kernel | Code::Storage => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_numbers_have_names() {
        assert_eq!(errno_name(22), Some("EINVAL"));
        assert_eq!(errno_name(98), Some("EADDRINUSE"));
        assert_eq!(errno_name(30), Some("EROFS"));
        assert_eq!(errno_name(0), None);
    }

    #[test]
    fn a_read_only_file_system_is_not_one_that_is_full() {
        let failed = |errno: u16| {
            let text = format!("the router cannot keep it: {}", Errno::from_generic(errno));
            let failure = Failure { errno, ..Failure::new(Code::Storage, &text) };
            (message(&failure, None), advice(&failure))
        };
        let (message, hint) = failed(30);
        assert_eq!(message, "the router cannot keep it: Read-only file system (EROFS)");
        assert!(hint.unwrap().contains("read-only: its flash may be full or damaged"));
        assert!(failed(28).1.unwrap().starts_with("free some space"));
        assert_eq!(failed(17).1, None);
        assert_eq!(failed(600).0, "the router cannot keep it: errno 600");
    }

    #[test]
    fn the_interface_is_named_once_and_not_taken_for_a_part_of_a_word() {
        let told = |name: &str, text: &str| {
            let failure = Failure::new(Code::NoInterface, text).about(Subject::Interface);
            message(&failure, Some(&name.parse().unwrap()))
        };
        assert_eq!(told("wg1", "there is no interface wg1"), "there is no interface wg1");
        assert_eq!(told("wg1", "no interface wg1, neither"), "no interface wg1, neither");
        assert_eq!(told("w", "not allowed"), "interface w: not allowed");
    }

    #[test]
    fn a_number_is_not_told_again_behind_its_name() {
        let told = |text: &str| {
            let failure = Failure { errno: 600, ..Failure::new(Code::Kernel, text) };
            message(&failure, None)
        };
        let named = "peer 3: No buffer space available (ENOBUFS)";
        assert_eq!(told(named), named);
        assert_eq!(told("no room (E)"), "no room (E) (errno 600)");
        assert_eq!(told("no room (at all)"), "no room (at all) (errno 600)");
        assert_eq!(told("no room"), "no room (errno 600)");
    }
}
