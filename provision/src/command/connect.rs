//! The way to a router: which one it is, a session with it, and a note of where it was.

use std::time::Duration;

use proto_core::key::PublicKey;
use proto_core::protocol::session::{Wire, fingerprint};
use serde::Serialize;

use crate::cli::{Link, Own, To};
use crate::home::{Home, HomeError, Operator, Place};
use crate::session::{Session, SessionError, printable};
use crate::transport::{FindError, Secure, SerialLine, Transport, TransportError, Udp};
use crate::ui::Ui;

/// The most routers that are tried when it is not said which one it is.
const MAX_TRIED: usize = 32;

/// Opens the way to a router, whichever it is.
pub(super) fn open(to: &To) -> Result<(Box<dyn Transport>, Place), TransportError> {
    match (&to.serial, &to.udp) {
        (Some(serial), _) => {
            let place = Place::Serial(serial.device.display().to_string());
            Ok((Box::new(SerialLine::open(serial)?), place))
        }
        (None, Some(udp)) => Ok((Box::new(Udp::open(udp)?), Place::Udp(udp.to_string()))),
        (None, None) => {
            // clap asks for one of them.
            let message = "neither --serial nor --udp".into();
            Err(TransportError::Open { message, hint: None })
        }
    }
}

/// Opens a session with a router that knows the operator.
pub(super) fn connect<'u>(
    own: &Own,
    link: &Link,
    ui: &'u mut Ui,
) -> Result<Session<'u>, SessionError> {
    let home = own.find()?;
    let operator = home.operator()?;
    let (line, place) = open(&link.to)?;
    let Candidates { who, keys, left_out } = candidates(&home, link.router.as_deref(), &place)?;
    let timeout = link.talk.timeout;
    let secure = Secure::find(line, &operator, &keys, timeout, ui).map_err(|error| {
        let mut error = stranger(error, &operator, &who, timeout);
        if let (SessionError::Nobody { hint, .. }, true) = (&mut error, left_out) {
            *hint = format!("say which one it is with --router NAME. {hint}");
        }
        error
    })?;
    let mut session = Session::open(secure, timeout, ui)?;
    remember(&home, &mut session, &place, None)?;
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
    let (line, _) = open(&link.to)?;
    let who = fingerprint(&router).to_string();
    let secure = Secure::find(line, &operator, &[router], timeout, ui)
        .map_err(|error| stranger(error, &operator, &who, timeout))?;
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
    /// Whether there are more than are tried.
    left_out: bool,
}

fn candidates(home: &Home, router: Option<&str>, place: &Place) -> Result<Candidates, HomeError> {
    let routers = home.routers()?;
    if let Some(text) = router {
        let (who, key) = match (routers.find(text), text.parse()) {
            (Some(router), _) => (router.name.clone(), router.key),
            (None, Ok(key)) => (fingerprint(&key).to_string(), key),
            (None, Err(_)) => return Err(HomeError::Unknown(text.escape_debug().collect())),
        };
        return Ok(Candidates { who, keys: vec![key], left_out: false });
    }
    let mut likely = routers.likely_at(place);
    let count = likely.len();
    likely.truncate(MAX_TRIED);
    let left_out = likely.len() < count;
    let who = match likely.as_slice() {
        // On a serial line such a router can be told, by asking.
        [] if matches!(place, Place::Udp(_)) => return Err(HomeError::NoRouter),
        [] => "a router that nobody owns".into(),
        [router] => router.name.clone(),
        _ if left_out => format!("any of the first {MAX_TRIED} of the {count} routers you know"),
        _ => format!("any of the {count} routers you know"),
    };
    Ok(Candidates { who, keys: likely.iter().map(|router| router.key).collect(), left_out })
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
    waited: Duration,
) -> SessionError {
    match error {
        FindError::Transport(error) => error.into(),
        FindError::Unowned { line, key } => {
            SessionError::Unowned { line, fingerprint: fingerprint(&key).to_string() }
        }
        FindError::Silence { line, wire, hint } => {
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
pub(super) fn unclaimed_hint(line: &dyn Transport, operator: &Operator, label: bool) -> String {
    let secret = match label {
        true => " Is the secret right, and never used before? Over a serial cable none is needed.",
        false => "",
    };
    format!(
        "{}{secret} If it is yours already, `postwire status` says so; if others own it, one of them \
         can run `{}`, or somebody `postwired reset-owner` on the router itself",
        line.silence_hint(),
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
