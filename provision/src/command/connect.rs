//! Connecting to a router: candidates, a session, and a note of the address where the router was found.

use std::time::{Duration, Instant};

use proto_core::key::PublicKey;
use proto_core::protocol::session::{Wire, fingerprint};
use serde::Serialize;

use crate::cli::{Link, Own, Talk, To};
use crate::home::{Home, HomeError, Operator, Place, Routers};
use crate::image::Image;
use crate::interrupt;
use crate::session::{Session, SessionError, printable};
use crate::transport::{FindError, Reason, Secure, SerialLine, Transport, TransportError, Udp};
use crate::ui::Ui;

/// Pause between two attempts to open a transport.
const OPEN_AGAIN: Duration = Duration::from_millis(250);

/// Opens the transport to a router. Retries passing failures until the timeout.
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
                    format!("{name} was unreachable for {} s: {error}", timeout.as_secs_f32());
                let hint = Some(
                    "check that the cable is plugged in, and that the network interface is up and has an address in the router's network"
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
            // clap requires one of the two.
            let message = "give --serial or --udp".into();
            Err(TransportError::Open { code: "usage", message, hint: None })
        }
    }
}

/// Opens a session with a router that the operator owns.
pub(super) fn connect<'u>(
    own: &Own,
    link: &Link,
    ui: &'u mut Ui,
) -> Result<Session<'u>, SessionError> {
    connect_to_push(own, link, None, ui)
}

/// As [`connect`], and begins the push of an image in the same round trip.
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
        // The note is only a convenience: without it, the command can go on.
        session.tell(&format!("note: cannot save the address of this router: {error}"));
    }
    Ok(session)
}

/// Opens a new session over a new transport with a router that was reached before: the change may have moved
/// this machine to another address.
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

/// The command-line options that reach the same router again.
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

/// The routers that may be at an address.
struct Candidates {
    /// Their description, for messages.
    who: String,
    /// Their keys, the most likely first.
    keys: Vec<PublicKey>,
}

/// What to call the router of a name, key or fingerprint, and its key.
pub(super) fn named(routers: &Routers, text: &str) -> Result<(String, PublicKey), HomeError> {
    match (routers.find(text), text.parse()) {
        (Some(router), _) => Ok((router.name.clone(), router.key)),
        (None, Ok(key)) => Ok((fingerprint(&key).to_string(), key)),
        (None, Err(_)) => Err(HomeError::Unknown(text.escape_debug().collect())),
    }
}

fn candidates(home: &Home, router: Option<&str>, place: &Place) -> Result<Candidates, HomeError> {
    let routers = home.routers()?;
    if let Some(text) = router {
        let (who, key) = named(&routers, text)?;
        return Ok(Candidates { who, keys: vec![key] });
    }
    let likely = routers.likely_at(place);
    let who = match likely.as_slice() {
        // On a serial line, an unclaimed router answers a probe.
        [] if matches!(place, Place::Udp(_)) => return Err(HomeError::NoRouter),
        [] => "an unclaimed router".into(),
        [router] => router.name.clone(),
        all => format!("any of the {} routers you know", all.len()),
    };
    Ok(Candidates { who, keys: likely.iter().map(|router| router.key).collect() })
}

/// Saves the address of a router in the list, under the given name, or else its present name, or else its host
/// name.
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

/// Describes why no session could be opened.
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
                    "only {} of your {tried} known routers could be tried in the time: name the router with \
                     --router NAME, or allow more time with --timeout. {hint}",
                    tried.saturating_sub(left_out)
                );
            }
            let unclaimed = match wire {
                Wire::Serial => "",
                Wire::Udp => {
                    ". An unclaimed router does not answer over UDP: claim it with `postwire claim --serial DEV`"
                }
            };
            SessionError::Nobody {
                who: who.into(),
                name: line,
                waited,
                reason,
                hint: format!(
                    "{hint} A router answers only its owners. If it belongs to others, ask an admin to run \
                     `{}`{unclaimed}",
                    let_in(operator)
                ),
            }
        }
    }
}

/// The command with which an admin adds the operator as an owner.
fn let_in(operator: &Operator) -> String {
    format!("postwire owner add {} --role admin --name YOU", operator.public())
}

/// The hint for a claim to which no router answered.
pub(super) fn unclaimed_hint(
    line: &dyn Transport,
    reason: &Reason,
    operator: &Operator,
    label: bool,
) -> String {
    let secret = match label {
        true => {
            " Check the label's secret: it works only once. Over a serial cable no secret is needed."
        }
        false => "",
    };
    format!(
        "{}{secret} If the router may be yours already, run `postwire status`. If it belongs to others, ask an \
         admin to run `{}`, or run `postwired reset-owner` on the router itself",
        reason.hint(line.silence_hint()),
        let_in(operator)
    )
}

/// A router, as `--json` prints it.
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

    /// The router's host name, for messages.
    pub(super) fn name(&self) -> &str {
        if self.hostname.is_empty() { "the router" } else { &self.hostname }
    }

    /// The router's name in the operator's list.
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
