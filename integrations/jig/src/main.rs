//! A jig without an operating system: claims the router at its UART, configures the router from a table in flash,
//! makes the operator the owner in its place, and lights pass or fail. One unit for each press of the reset button.
//!
//! | module | holds |
//! |---|---|
//! | `table` | what each unit is given |
//! | `board` | the microcontroller |
//! | `random` | randomness |
//!
//! The protocol is `proto_core::protocol::link`.

#![no_std]
#![no_main]

mod board;
mod random;
mod table;

use core::{convert::Infallible, fmt, fmt::Write as _, panic::PanicInfo};

use cortex_m_rt::entry;
use proto_core::ip::IpNet;
use proto_core::key::{PublicKey, SecretKey};
use proto_core::protocol::client::Patience;
use proto_core::protocol::codec::write_record;
use proto_core::protocol::config::{Interface, Peer, PrivateKey, Record, Route};
use proto_core::protocol::link::{Link, LinkError, Platform, find_unowned};
use proto_core::protocol::message::{Applied, Name, Role, cut};
use proto_core::protocol::serial::SerialLine;
use proto_core::protocol::session::{StaticKey, fingerprint};

use board::{Line, Log};
use random::Pool;
use table::{INTERFACE, LISTEN_PORT, MTU, OPERATOR, ROWS, Row};

/// The jig's private key, as `wg genkey` prints it.
const KEY: &str = match option_env!("JIG_KEY") {
    Some(key) => key,
    None => panic!("set JIG_KEY to a private key of this jig: README.md"),
};
/// The public key of the operator, who owns the routers afterwards: `postwire key` shows it.
const OPERATOR_KEY: &str = match option_env!("JIG_OPERATOR") {
    Some(key) => key,
    None => panic!("set JIG_OPERATOR to the public key of the routers' owner: README.md"),
};
/// The main routing table of Linux.
const MAIN_TABLE: u32 = 254;

const PATIENCE: Patience = Patience { resend: 500, give_up: 15_000 };

/// What the board brings to the protocol.
struct Jig {
    pool: Pool,
}

impl Platform for Jig {
    fn now(&mut self) -> u64 {
        board::now()
    }

    fn random(&mut self, out: &mut [u8]) {
        self.pool.mix(&board::jitter().to_ne_bytes());
        self.pool.mix(&board::now().to_ne_bytes());
        self.pool.fill(out);
    }

    /// There is no clock. A router that met this jig before says which stamp it saw last, and the link continues there.
    fn stamp(&mut self) -> u64 {
        board::now() + 1
    }

    fn idle(&mut self) {
        board::idle();
    }
}

/// Why a unit fails.
enum Reason {
    /// The table or a key of the build is wrong.
    Table(&'static str),
    /// The step, and what the router or the line said.
    Step(&'static str, LinkError<Infallible>),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table(words) => write!(f, "the jig is built wrong: {words}"),
            Self::Step(step, error) => write!(f, "{step}: {error}"),
        }
    }
}

/// A unit that passed.
struct Passed {
    router: PublicKey,
    applied: Applied,
}

fn step<T>(step: &'static str, outcome: Result<T, LinkError<Infallible>>) -> Result<T, Reason> {
    outcome.map_err(|error| Reason::Step(step, error))
}

fn parse<T: core::str::FromStr>(text: &str, words: &'static str) -> Result<T, Reason> {
    text.parse().map_err(|_| Reason::Table(words))
}

/// The image of a row. Its records have the order that `config` demands.
fn image(row: &Row, name: &Name, buf: &mut [u8]) -> Result<usize, Reason> {
    let net: IpNet = parse(row.allowed_ip, "an allowed IP that is no network")?;
    let endpoint = parse(row.endpoint, "an endpoint that is no address and port")?;
    let records = [
        Record::Interface(Interface {
            name: name.clone(),
            private_key: PrivateKey::Generate,
            listen_port: Some(LISTEN_PORT),
            fwmark: 0,
            mtu: MTU,
        }),
        Record::Address(parse(row.address, "an address that is none")?),
        Record::Route(Route { table: MAIN_TABLE, metric: 0, to: net.masked() }),
        Record::Peer(Peer {
            public_key: parse(row.peer, "a peer's key that is none")?,
            preshared_key: None,
            endpoint: Some(endpoint),
            persistent_keepalive: 25,
        }),
        Record::AllowedIp(net.masked()),
    ];
    let mut len = 0;
    for record in &records {
        let written = buf.get_mut(len..).and_then(|rest| write_record(record, rest));
        len += written.ok_or(Reason::Table("a row that is too long"))?;
    }
    Ok(len)
}

/// Claims and configures the router at the line, and makes it the operator's.
fn unit(row: &Row) -> Result<Passed, Reason> {
    // What can be wrong with the table is found before the router is claimed.
    let own: SecretKey = parse(KEY, "JIG_KEY is no private key")?;
    let operator: PublicKey = parse(OPERATOR_KEY, "JIG_OPERATOR is no public key")?;
    let name: Name = parse(INTERFACE, "the interface has no valid name")?;
    let mut buf = [0; 512];
    let len = image(row, &name, &mut buf)?;

    let mut jig = Jig { pool: Pool::new(own.as_bytes()) };
    let own = StaticKey::new(own);
    let this = own.public();
    let mut line = SerialLine::new(Line);
    let router = step("no unclaimed router", find_unowned(&mut line, &mut jig, PATIENCE))?;
    jig.pool.mix(&router.0);
    let mut link = Link::new(line, jig, own, router, PATIENCE);
    step("claim", link.claim(&cut("jig")))?;
    let applied = step("push", link.push(name, &buf[..len]))?;
    step("adding the operator", link.add_owner(operator, Role::Admin, &cut(OPERATOR)))?;
    step("removing the jig", link.remove_owner(this))?;
    Ok(Passed { router, applied })
}

#[entry]
fn main() -> ! {
    if let Some(core) = cortex_m::Peripherals::take() {
        board::start(core.SYST);
    }
    board::lamp(false);
    let number = board::switches();
    let outcome = match ROWS.get(number) {
        Some(row) => unit(row),
        None => Err(Reason::Table("the switches choose a row that the table does not have")),
    };
    board::lamp(outcome.is_ok());
    let mut log = Log;
    let lost = board::lost();
    // The log is a wire without an answer: there is no failure to handle.
    let _ = match &outcome {
        Ok(Passed { router, applied }) => {
            let _ = write!(log, "pass row {number} router {router} {}", fingerprint(router));
            match applied.summary.public_key {
                Some(key) => writeln!(log, " wireguard {key}"),
                None => writeln!(log),
            }
        }
        Err(reason) => writeln!(log, "fail row {number}: {reason} ({lost} bytes lost)"),
    };
    show(outcome.is_ok())
}

/// Shows the outcome until the next reset.
fn show(pass: bool) -> ! {
    loop {
        board::lamp(pass || board::now() / 250 % 2 == 0);
        board::idle();
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let _ = writeln!(Log, "fail: {info}");
    show(false)
}
