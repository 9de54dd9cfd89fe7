//! The way to a router: which one it is, a session with it, and a note of where it was.

use std::time::{Duration, Instant};

use proto_core::key::PublicKey;
use proto_core::protocol::session::{Wire, fingerprint};
use serde::Serialize;

use crate::cli::{Link, Own, Talk, To};
use crate::home::{Home, HomeError, Operator, Place};
use crate::image::Image;
use crate::interrupt;
use crate::session::{Session, SessionError, printable};
use crate::transport::{FindError, Reason, Secure, SerialLine, Transport, TransportError, Udp};
use crate::ui::Ui;

/// Between two tries to open a way that fails for now.
const OPEN_AGAIN: Duration = Duration::from_millis(250);

/// Opens the way to a router, whichever it is. One that fails for now is tried until the time is over.
pub(super) fn open(
    to: &To,
    talk: &Talk,
    timeout: Duration,
) -> Result<(Box<dyn Transport>, Place), TransportError> {
    let until = Instant::now() + timeout;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match open_once(to, talk, left) {
            Err(TransportError::Passing(name, error)) if left <= OPEN_AGAIN => {
                let message =
                    format!("no way to {name} from here for {} s: {error}", timeout.as_secs_f32());
                let hint = Some(
                    "is the cable in, is the interface up, does it have an address of the router's network?"
                        .into(),
                );
                return Err(TransportError::Open { code: "unreachable", message, hint });
            }
            Err(TransportError::Passing(..)) if interrupt::requested() => {
                return Err(TransportError::Interrupted);
            }
            Err(TransportError::Passing(..)) => std::thread::sleep(OPEN_AGAIN),
            outcome => return outcome,
        }
    }
}

fn open_once(
    to: &To,
    talk: &Talk,
    patience: Duration,
) -> Result<(Box<dyn Transport>, Place), TransportError> {
    match (&to.serial, &to.udp) {
        (Some(serial), _) => {
            let place = Place::Serial(serial.device.display().to_string());
            Ok((Box::new(SerialLine::open(serial, talk.dtr)?), place))
        }
        (None, Some(udp)) => Ok((Box::new(Udp::open(udp, patience)?), Place::Udp(udp.to_string()))),
        (None, None) => {
            // clap asks for one of them.
            let message = "neither --serial nor --udp".into();
            Err(TransportError::Open { code: "usage", message, hint: None })
        }
    }
}

/// Opens a session with a router that knows the operator.
pub(super) fn connect<'u>(
    own: &Own,
    link: &Link,
    ui: &'u mut Ui,
) -> Result<Session<'u>, SessionError> {
    connect_to_push(own, link, None, ui)
}

/// The same, and begins the push of an image in the same turn.
pub(super) fn connect_to_push<'u>(
    own: &Own,
    link: &Link,
    image: Option<&Image>,
    ui: &'u mut Ui,
) -> Result<Session<'u>, SessionError> {
    let home = own.find()?;
    let operator = home.operator()?;
    let (line, place) = open(&link.to, &link.talk, link.talk.timeout)?;
    let Candidates { who, keys } = candidates(&home, link.router.as_deref(), &place)?;
    let timeout = link.talk.timeout;
    let secure = Secure::find(line, &operator, &keys, timeout, ui)
        .map_err(|error| stranger(error, &operator, &who, keys.len(), timeout))?;
    let mut session = Session::open_to_push(secure, timeout, ui, image)?;
    if let Err(error) = remember(&home, &mut session, &place, None) {
        // The session is what was asked for; the note is a convenience.
        session.tell(&format!("the place of this router is not noted: {error}"));
    }
    Ok(session)
}

/// Opens a new session with a router that was reached before, over a way that is opened anew: what was
/// changed may have moved the bench to another address.
pub(super) fn connect_again<'u>(
    own: &Own,
    link: &Link,
    router: PublicKey,
    timeout: Duration,
    ui: &'u mut Ui,
) -> Result<Session<'u>, SessionError> {
    let operator = own.find()?.operator()?;
    let (line, _) = open(&link.to, &link.talk, timeout)?;
    let who = fingerprint(&router).to_string();
    let secure = Secure::find(line, &operator, &[router], timeout, ui)
        .map_err(|error| stranger(error, &operator, &who, 1, timeout))?;
    Session::open(secure, timeout, ui)
}

/// The options by which the same router is reached again, as they are typed.
pub(super) fn typed(own: &Own, link: &Link) -> String {
    let mut text = match (&link.to.serial, &link.to.udp) {
        (Some(serial), _) => format!("--serial {serial}"),
        (None, Some(udp)) => format!("--udp {udp}"),
        (None, None) => String::new(),
    };
    let mut more = |option: &str, value: Option<String>| {
        text.extend(value.map(|value| format!(" {option} {value}")));
    };
    more("--router", link.router.clone());
    more("--home", own.home.as_ref().map(|home| home.display().to_string()));
    more("--key", own.key.as_ref().map(|key| key.display().to_string()));
    text
}

/// The routers it may be.
struct Candidates {
    /// In words.
    who: String,
    /// Their keys, the most likely first.
    keys: Vec<PublicKey>,
}

fn candidates(home: &Home, router: Option<&str>, place: &Place) -> Result<Candidates, HomeError> {
    let routers = home.routers()?;
    if let Some(text) = router {
        let (who, key) = match (routers.find(text), text.parse()) {
            (Some(router), _) => (router.name.clone(), router.key),
            (None, Ok(key)) => (fingerprint(&key).to_string(), key),
            (None, Err(_)) => return Err(HomeError::Unknown(text.escape_debug().collect())),
        };
        return Ok(Candidates { who, keys: vec![key] });
    }
    let likely = routers.likely_at(place);
    let who = match likely.as_slice() {
        // On a serial line such a router can be told, by asking.
        [] if matches!(place, Place::Udp(_)) => return Err(HomeError::NoRouter),
        [] => "a router that nobody owns".into(),
        [router] => router.name.clone(),
        all => format!("any of the {} routers you know", all.len()),
    };
    Ok(Candidates { who, keys: likely.iter().map(|router| router.key).collect() })
}

/// Notes that a router was heard here, under a name that was asked for or the one it has, or else
/// its host name.
pub(super) fn remember(
    home: &Home,
    session: &mut Session<'_>,
    place: &Place,
    name: Option<&str>,
) -> Result<(), HomeError> {
    let key = session.router_key();
    let hostname = printable(&session.status().hostname);
    let known_as = home.change_routers(|routers| {
        if let Some(name) = name {
            routers.call(name, key)?;
        }
        Ok(routers.heard(key, place, &[&hostname]).name.clone())
    })?;
    session.set_known_as(known_as);
    Ok(())
}

/// Says why no session came about.
pub(super) fn stranger(
    error: FindError,
    operator: &Operator,
    who: &str,
    tried: usize,
    waited: Duration,
) -> SessionError {
    match error {
        FindError::Transport(error) => error.into(),
        FindError::Unowned { line, key } => {
            SessionError::Unowned { line, fingerprint: fingerprint(&key).to_string() }
        }
        FindError::Silence { line, wire, reason, hint, left_out } => {
            let mut hint = reason.hint(hint);
            if left_out > 0 {
                hint = format!(
                    "There was time to try {} of the {tried} routers you know: say which one it is with \
                     --router NAME, or give it more time with --timeout. {hint}",
                    tried.saturating_sub(left_out)
                );
            }
            let nobodys = match wire {
                Wire::Serial => "",
                Wire::Udp => {
                    ". One that nobody owns is silent over UDP: `postwire claim --serial DEV`"
                }
            };
            SessionError::Nobody {
                who: who.into(),
                name: line,
                waited,
                reason,
                hint: format!(
                    "{hint} A router answers its owners only: if it has others, one of them can run \
                     `{}`{nobodys}",
                    let_in(operator)
                ),
            }
        }
    }
}

/// What an owner runs to let the operator in.
fn let_in(operator: &Operator) -> String {
    format!("postwire owner add {} --role admin --name YOU", operator.public())
}

/// What to say when nobody answers who looks for a router to claim.
pub(super) fn unclaimed_hint(
    line: &dyn Transport,
    reason: &Reason,
    operator: &Operator,
    label: bool,
) -> String {
    let secret = match label {
        true => " Is the secret right, and never used before? Over a serial cable none is needed.",
        false => "",
    };
    format!(
        "{}{secret} If it is yours already, `postwire status` says so; if others own it, one of them \
         can run `{}`, or somebody `postwired reset-owner` on the router itself",
        reason.hint(line.silence_hint()),
        let_in(operator)
    )
}

/// A router as `--json` names it.
#[derive(Debug, Serialize)]
pub(super) struct Router {
    hostname: String,
    board: String,
    agent: String,
    name: String,
    public_key: String,
    fingerprint: String,
}

impl Router {
    pub(super) fn of(session: &Session<'_>) -> Self {
        let (status, key) = (session.status(), session.router_key());
        Self {
            hostname: printable(&status.hostname),
            board: printable(&status.board),
            agent: printable(&session.hello().agent),
            name: session.known_as().into(),
            public_key: key.to_string(),
            fingerprint: fingerprint(&key).to_string(),
        }
    }

    /// What to call it.
    pub(super) fn name(&self) -> &str {
        if self.hostname.is_empty() { "the router" } else { &self.hostname }
    }

    /// What the operator calls it.
    pub(super) fn known_as(&self) -> &str {
        &self.name
    }

    pub(super) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    pub(super) fn agent(&self) -> &str {
        &self.agent
    }
}
