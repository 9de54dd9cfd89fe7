//! What a router or the way to it did wrong, in the words and lines of the person's file.

use proto_core::key::PublicKey;
use proto_core::netlink::Errno;
use proto_core::protocol::message::{Code, Failure, State, Subject};

use super::load::Loaded;
use crate::report::{Failed, Kind, Outcome};
use crate::session::{SessionError, printable};
use crate::transport::TransportError;

/// What the failure is looked at with.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct About<'a> {
    /// The file that was pushed or compared.
    pub(super) file: Option<&'a Loaded>,
    /// Whether it was a push, so that there is a state to speak of.
    pub(super) push: bool,
    /// Whether the router had been told to make the change.
    pub(super) commit_sent: bool,
    /// The operator's key, where the hint should have it.
    pub(super) own: Option<PublicKey>,
}

/// Describes why a conversation ended.
pub(super) fn describe(error: SessionError, about: About<'_>) -> Failed {
    let (message, code) = (error.to_string(), error.code());
    let (kind, hint) = match error {
        SessionError::Failed(failure) => return describe_failure(&failure, about),
        SessionError::Home(error) | SessionError::Transport(TransportError::Home(error)) => {
            return Failed::own(&error);
        }
        SessionError::Transport(TransportError::Open { hint, .. }) => (Kind::Connection, hint),
        SessionError::Transport(TransportError::Passing(..)) => (Kind::Connection, None),
        SessionError::Transport(TransportError::Lost(..)) => {
            let hint = "was the cable pulled out, or the adapter unplugged?";
            (Kind::Connection, Some(hint.into()))
        }
        SessionError::Silence { hint, .. } | SessionError::Nobody { hint, .. } => {
            (Kind::Connection, Some(hint))
        }
        SessionError::Unowned { .. } => (Kind::Router, Some(CLAIM.into())),
        SessionError::Random(_) | SessionError::Transport(TransportError::Random(_)) => {
            (Kind::Own, None)
        }
        SessionError::Transport(TransportError::Interrupted) => (Kind::Interrupted, None),
        SessionError::Restarts | SessionError::Nonsense(_) => (Kind::Router, None),
    };
    let mut failed = Failed::new(kind, message).hint(hint);
    failed.error.code = code.map(String::from);
    failed.error.state = about.push.then_some(match about.commit_sent {
        true => Outcome::Unknown,
        false => Outcome::Unchanged,
    });
    failed
}

fn describe_failure(failure: &Failure, about: About<'_>) -> Failed {
    let place = about.file.and_then(|file| file.image.place(&failure.subject));
    let text = printable(&failure.text);
    let errno_name = errno_name(failure.errno);
    let mut message = String::new();
    if let Some(file) = about.file {
        message += &file.source.name;
        message += &place.map(|place| format!(":{}", place.line)).unwrap_or_default();
        message += ": ";
    }
    if let (Some(file), Subject::Interface) = (about.file, &failure.subject) {
        message += &format!("interface {}: ", file.image.interface);
    } else if failure.subject != Subject::None {
        message += &format!("{}: ", failure.subject);
    }
    message += if text.is_empty() { words(failure.code) } else { &text };
    match errno_name {
        Some(name) if !text.contains(name) => message += &format!(" ({name})"),
        None if failure.errno != 0
            && !names_errno(&text)
            && !numbers_errno(&text, failure.errno) =>
        {
            message += &format!(" (errno {})", failure.errno)
        }
        _ => {}
    }
    let mut next = match failure.code {
        Code::Storage => storage_hint(failure.errno),
        code => hint(code),
    }
    .map(String::from);
    if let (Code::Claimed, Some(own)) = (failure.code, about.own) {
        next = Some(format!(
            "one of its owners can let you in with `postwire owner add {own} --role admin --name \
             YOU`, or somebody run `postwired reset-owner` on the router itself"
        ));
    }
    let mut failed = Failed::new(Kind::Router, message).hint(next);
    let error = &mut failed.error;
    error.file = about.file.map(|file| file.source.name.clone());
    error.line = place.map(|place| place.line);
    error.code = Some(code_name(failure.code));
    error.subject = (failure.subject != Subject::None).then(|| failure.subject.to_string());
    error.text = Some(text);
    error.errno = (failure.errno != 0).then_some(failure.errno);
    error.errno_name = errno_name;
    error.state = about.push.then_some(match failure.state {
        State::Unchanged => Outcome::Unchanged,
        State::Partly => Outcome::Partly,
        State::Undone => Outcome::Undone,
        State::Unknown(_) => Outcome::Unknown,
    });
    failed
}

/// Whether the router's own words end with the name of an error: it knows its numbers best.
fn names_errno(text: &str) -> bool {
    let name = text.strip_suffix(')').and_then(|text| text.rsplit_once('(')).map(|(_, name)| name);
    name.and_then(|name| name.strip_prefix('E')).is_some_and(|rest| {
        !rest.is_empty()
            && rest.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
    })
}

/// Whether the router's own words have the number already.
fn numbers_errno(text: &str, errno: u16) -> bool {
    text.ends_with(&format!("errno {errno}"))
}

/// The name of an error number of the router, which is one of `asm-generic` on every architecture.
fn errno_name(errno: u16) -> Option<&'static str> {
    if errno == 0 { None } else { Errno::from_generic(errno).name() }
}

/// What to do when the router cannot keep what it was sent, by what its file system said.
fn storage_hint(errno: u16) -> Option<&'static str> {
    Some(match Errno::from_generic(errno) {
        Errno::EROFS => "the router's /etc is read-only: its flash may be full or damaged",
        Errno::EIO | Errno::EUCLEAN | Errno::EBADMSG => {
            "the router's flash may be damaged: look at the router's kernel log"
        }
        Errno::EACCES | Errno::EPERM => "run postwired as root, or let it write where --keep says",
        Errno(0) | Errno::ENOSPC | Errno::EDQUOT => {
            "free some space on the router, or push fewer peers"
        }
        _ => return None,
    })
}

/// The name of a code in snake case; `code_N` for a number that this version has no name for.
fn code_name(code: Code) -> String {
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

/// What to say when the router has no words of its own.
const fn words(code: Code) -> &'static str {
    match code {
        Code::Version => "the router speaks another version of the protocol",
        Code::Malformed => "the router did not understand a message",
        Code::Busy => "somebody else is at it",
        Code::Gone => "the router forgot what it was sent",
        Code::Incomplete => "pieces are missing on the router",
        Code::Digest => "the router has other bytes than were sent",
        Code::Config => "the router does not take this configuration",
        Code::NotAllowed => "the agent may not touch this interface",
        Code::NoWireGuard => "the router's kernel has no WireGuard",
        Code::WrongKind => "there is an interface of that name that is not WireGuard's",
        Code::NoInterface => "there is no interface of that name",
        Code::Permission => "the agent lacks the rights",
        Code::Kernel => "the kernel refused",
        Code::Verify => "the kernel has something else than it was given",
        Code::Storage => "the router could not keep what it was sent",
        Code::Unsteady => "the kernel's tables kept changing while they were read",
        Code::Forbidden => "your role on this router does not allow it",
        Code::Unclaimed => "nobody owns this router yet",
        Code::Claimed => "somebody owns this router already",
        Code::LastAdmin => "this is the router's last admin",
        Code::Full => "the router has as many owners as it can",
        Code::NoOwner => "the router has no such owner",
        Code::Proof => "the secret of the label is wrong, or was used before",
        Code::NotPending => "no change waits to be confirmed",
        Code::NotFresh => "the session is as old as the change it is to confirm",
        Code::NotStored => "nothing of that interface or number is stored",
        Code::Damaged => "what is stored is damaged",
        Code::Unsupported => "the router does not know this request",
        Code::Foreign => "postwired did not make this interface",
        Code::Unknown(_) => "the router failed in a way that this postwire does not know",
    }
}

/// What to do with a router that nobody owns.
const CLAIM: &str = "`postwire claim --serial DEV` makes it yours";

const fn hint(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::Version => "use postwire and postwired of the same release",
        Code::Unsupported => "the router's postwired is older than this postwire: update postwired",
        Code::Unknown(_) => "the router's postwired is newer than this postwire: update postwire",
        Code::Malformed | Code::Incomplete | Code::Digest | Code::Config => {
            "use postwire and postwired of the same release; if they are, please report this"
        }
        Code::Busy => {
            "wait for the other one to finish, then try again; a change that waits to be confirmed is \
             kept by `postwire confirm` and taken back by `postwire revert`"
        }
        Code::NotAllowed => {
            "postwired was started for other interfaces: see its service on the router"
        }
        Code::NoWireGuard => "install the router's WireGuard module, on OpenWrt kmod-wireguard",
        Code::WrongKind => "choose another name with --interface",
        Code::NoInterface => "`postwire status` lists the interfaces there are",
        Code::Permission => "run postwired as root, or with CAP_NET_ADMIN",
        Code::Verify => {
            "does another program manage this interface? `postwire diff` shows what differs"
        }
        Code::Unsteady => "something keeps changing this interface: stop it, then try again",
        Code::Forbidden => {
            "an admin of this router can change your role with `postwire owner add`; `postwire \
             owners` shows who that is"
        }
        Code::Unclaimed => CLAIM,
        Code::Claimed => {
            "one of its owners can let you in with `postwire owner add` and the key that `postwire \
             key` shows, or somebody run `postwired reset-owner` on the router itself"
        }
        Code::LastAdmin => {
            "make somebody else an admin first, with `postwire owner add KEY --role admin --name NAME`"
        }
        Code::Full => "remove one first: `postwire owners` shows them",
        Code::NoOwner => "`postwire owners` shows those there are",
        Code::Proof => "look at the label again; over a serial cable no secret is needed",
        Code::NotPending => {
            "it was confirmed, or taken back: `postwire history` shows what is stored, `postwire status` \
             what runs"
        }
        Code::NotFresh => "run the command again: it makes a new session",
        Code::NotStored => "`postwire history` shows what is stored",
        Code::Damaged => {
            "push the configuration again; `postwire history` shows whether an earlier one is whole"
        }
        Code::Foreign => {
            "stop what manages it, then take it over with `postwire push --adopt`; or choose another name with \
             --interface"
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
            describe_failure(&failure, About::default()).error
        };
        let read_only = failed(30);
        assert_eq!(read_only.message, "the router cannot keep it: Read-only file system (EROFS)");
        assert!(read_only.hint.unwrap().contains("read-only: its flash may be full or damaged"));
        assert!(failed(28).hint.unwrap().starts_with("free some space"));
        assert_eq!(failed(17).hint, None);
        assert_eq!(failed(600).message, "the router cannot keep it: errno 600");
    }

    #[test]
    fn a_number_is_not_told_again_behind_its_name() {
        let told = |text: &str| {
            let failure = Failure { errno: 600, ..Failure::new(Code::Kernel, text) };
            describe_failure(&failure, About::default()).error.message
        };
        let named = "peer 3: No buffer space available (ENOBUFS)";
        assert_eq!(told(named), named);
        assert_eq!(told("no room (E)"), "no room (E) (errno 600)");
        assert_eq!(told("no room (at all)"), "no room (at all) (errno 600)");
        assert_eq!(told("no room"), "no room (errno 600)");
    }
}
