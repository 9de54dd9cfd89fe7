//! The example bytes in `docs/protocol.md`, both ways: they decode to the values of `examples`, and
//! the values encode to them.
//!
//! After a change of the protocol
//!
//! ```text
//! UPDATE_VECTORS=1 cargo test -p proto-core --all-features --test protocol_vectors
//! ```
//!
//! rewrites the blocks; a block for a new example must first be added to the document, empty.

#[expect(unreachable_pub, reason = "a module shared by tests")]
mod annotate;
#[expect(unreachable_pub, reason = "other tests use it too")]
mod document;
#[expect(unreachable_pub, reason = "fuzzing uses it too")]
mod examples;
mod session_blocks;
#[expect(unreachable_pub, reason = "other tests use it too")]
mod sessions;
#[expect(unreachable_pub, reason = "other tests use it too")]
mod snow_peer;

use std::collections::BTreeMap;
use std::fmt::Write;

use annotate::{Line, annotate};
use document::{FENCE, blocks};
use proto_core::protocol::config::{Checker, Item, ItemKey, Record};
use proto_core::protocol::envelope::{self, HELLO_VERSION, Packed};
use proto_core::protocol::frame::{CRC_LEN, Deframer, Received, open, seal, write_serial};
use proto_core::protocol::message::{Answer, Code, Phase, Reply, Request, Role, State, Subject};
use proto_core::protocol::report::{Change, Running, Stored};
use proto_core::protocol::session::fingerprint;
use proto_core::protocol::sized::split;
use proto_core::protocol::{VERSION, codec, digest};
use serde::Serialize;

/// A block in the form of the document: at most sixteen bytes in a line.
fn show(lines: &[Line]) -> String {
    let mut text = String::new();
    for Line { bytes, label } in lines {
        for (nth, row) in bytes.chunks(16).enumerate() {
            let hex = row.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
            if nth == 0 {
                writeln!(text, "{hex:47} ; {label}").unwrap();
            } else {
                writeln!(text, "{hex}").unwrap();
            }
        }
    }
    text
}

fn flat(lines: &[Line]) -> Vec<u8> {
    lines.iter().flat_map(|line| line.bytes.clone()).collect()
}

fn line(bytes: &[u8], label: &str) -> Line {
    Line { bytes: bytes.to_vec(), label: label.into() }
}

/// A packet, field by field.
fn packet<M: Serialize + Packed>(version: u8, message: &M) -> Vec<Line> {
    let mut lines = vec![line(&[M::KIND], "kind"), line(&[version], "version")];
    lines.extend(annotate("", message));
    let mut buf = [0; 2048];
    let len = envelope::write(version, message, &mut buf).unwrap();
    assert_eq!(flat(&lines), buf[..len]);
    lines
}

/// A value without an envelope, field by field.
fn plain<T: Serialize>(label: &str, value: &T) -> Vec<Line> {
    let lines = annotate(label, value);
    let mut buf = [0; 2048];
    assert_eq!(flat(&lines), postcard::to_slice(value, &mut buf).unwrap());
    lines
}

/// A value with its length prefix, field by field.
fn sized<T: Serialize>(label: &str, value: &T) -> Vec<Line> {
    let mut lines = plain(label, value);
    let len = flat(&lines).len();
    lines.insert(
        0,
        line(postcard::to_slice(&len, &mut [0; 8]).unwrap(), &format!("length = {len}")),
    );
    lines
}

/// Numbers with their names, one after another.
fn numbers<T: Serialize>(label: &str, all: &[T]) -> Vec<Line> {
    all.iter().flat_map(|number| plain(label, number)).collect()
}

fn version(name: &str) -> u8 {
    if name == "hello" { HELLO_VERSION } else { VERSION }
}

/// The frame of a packet on a serial line.
fn frame(packet: &[u8]) -> Vec<u8> {
    let mut buf = [packet, &[0; CRC_LEN]].concat();
    let mut line = [0; 2048];
    let mut room = &mut line[..];
    write_serial(&mut room, &mut buf, packet.len()).unwrap();
    let left = room.len();
    line[..line.len() - left].to_vec()
}

/// A packet in a datagram.
fn datagram(packet: &[u8]) -> Vec<Line> {
    let mut packet = packet.to_vec();
    let len = packet.len();
    packet.resize(len + CRC_LEN, 0);
    let sealed = seal(&mut packet, len).unwrap();
    vec![line(&sealed[..len], "packet"), line(&sealed[len..], "CRC")]
}

/// A whole image: the records that belong together.
fn image() -> Vec<Line> {
    let alone = ["interface-none", "interface-generate"];
    let records = examples::records().into_iter().filter(|(name, _)| !alone.contains(name));
    records.map(|(name, record)| line(&flat(&sized("", &record)), name)).collect()
}

/// Splits bytes into fields; the bytes after the last field are zeros.
fn cut(bytes: &[u8], fields: &[(usize, &str)]) -> Vec<Line> {
    let mut rest = bytes;
    let mut lines = Vec::new();
    for (len, label) in fields {
        let (field, behind) = rest.split_at(*len);
        lines.push(line(field, label));
        rest = behind;
    }
    if !rest.is_empty() {
        lines.push(line(rest, "zeros"));
    }
    lines
}

fn item_key(item: &Item) -> Vec<Line> {
    let bytes = item.key().0;
    let fields: &[(usize, &str)] = match item {
        Item::Address(_) => &[(1, "address"), (1, "family"), (16, "address"), (1, "prefix")],
        Item::Route(_) => &[
            (1, "route"),
            (4, "table"),
            (4, "metric"),
            (1, "family"),
            (16, "address"),
            (1, "prefix"),
        ],
        Item::Rule(_) => &[
            (1, "rule"),
            (1, "family"),
            (4, "priority"),
            (4, "table"),
            (1, "flags"),
            (4, "fwmark"),
            (4, "suppress_prefixlength"),
        ],
        Item::Peer(_) => &[(1, "peer"), (32, "public key")],
    };
    cut(&bytes, fields)
}

/// All blocks of the document.
fn expected() -> BTreeMap<String, Vec<Line>> {
    let mut all = BTreeMap::new();
    let mut put = |name: String, lines| assert!(all.insert(name, lines).is_none());
    for (name, request) in examples::requests() {
        put(format!("request-{name}"), packet(version(name), &request));
    }
    for (name, reply) in examples::replies() {
        let mut lines = packet(version(name), &reply);
        if let Answer::Failed(failure) = &reply.answer {
            let subject = lines.pop().unwrap();
            let fields = sized("subject", &failure.subject);
            assert_eq!(flat(&fields), subject.bytes);
            lines.extend(fields);
        }
        put(format!("reply-{name}"), lines);
    }
    put("phases".into(), numbers("phase", Phase::ALL));
    put("roles".into(), numbers("role", Role::ALL));
    put("codes".into(), numbers("code", Code::ALL));
    put("subjects".into(), plain("subject", &examples::subjects()));
    put("states".into(), numbers("state", State::ALL));
    for (name, record) in examples::records() {
        put(format!("record-{name}"), sized("record", &record));
    }
    for (name, item) in examples::items() {
        put(format!("key-{name}"), item_key(&item));
    }
    for (name, record) in examples::running() {
        put(format!("running-{name}"), sized("record", &record));
    }
    for (name, change) in examples::changes() {
        put(format!("change-{name}"), sized("record", &change));
    }
    for (name, stored) in examples::stored() {
        put(format!("stored-{name}"), sized("record", &stored));
    }
    session_blocks::put_all(|name, lines| put(name.into(), lines));
    let packet = session_blocks::first_packet();
    put("datagram".into(), datagram(&packet));
    let framed = frame(&packet);
    let (end, rest) = framed.split_last().unwrap();
    let (start, stuffed) = rest.split_first().unwrap();
    put(
        "frame".into(),
        vec![
            line(&[*start], "start"),
            line(stuffed, "COBS of the datagram above"),
            line(&[*end], "end"),
        ],
    );
    let image = image();
    put("digest".into(), vec![line(&digest(&flat(&image)), "BLAKE2s-256 of the image above")]);
    put("image".into(), image);
    all
}

fn updated(document: &str, expected: &BTreeMap<String, Vec<Line>>) -> String {
    let mut text = String::new();
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        text += line;
        text += "\n";
        if let Some(name) = line.strip_prefix(FENCE) {
            let block = expected.get(name).unwrap_or_else(|| panic!("there is no example {name}"));
            text += &show(block);
            assert!(lines.by_ref().any(|line| line == "```"), "{name} does not end");
            text += "```\n";
        }
    }
    text
}

fn document() -> String {
    let text = document::text();
    if std::env::var_os("UPDATE_VECTORS").is_none() {
        return text;
    }
    let text = updated(&text, &expected());
    // Other tests read the document at the same time.
    let new = document::path().with_extension("new");
    std::fs::write(&new, &text).unwrap();
    std::fs::rename(&new, document::path()).unwrap();
    text
}

#[test]
fn every_example_has_the_bytes_of_the_document() {
    let blocks = blocks(&document());
    let expected = expected();
    for (name, lines) in &expected {
        let bytes = blocks.get(name).unwrap_or_else(|| panic!("no block `{FENCE}{name}`"));
        assert_eq!(*bytes, flat(lines), "{name}: the bytes changed; see the head of this file");
    }
    let strange: Vec<_> = blocks.keys().filter(|name| !expected.contains_key(*name)).collect();
    assert!(strange.is_empty(), "blocks without an example: {strange:?}");
}

/// Decodes a value from all of `bytes`.
fn value<'b, T: serde::Deserialize<'b>>(bytes: &'b [u8]) -> T {
    let (value, rest) = postcard::take_from_bytes(bytes).expect("the bytes of a value");
    assert!(rest.is_empty());
    value
}

/// The bytes of the only value, without its length prefix.
fn one(bytes: &[u8]) -> &[u8] {
    let (one, rest) = split(bytes).expect("a value with a length prefix");
    assert!(rest.is_empty());
    one
}

#[test]
fn the_bytes_of_the_document_mean_the_examples() {
    let blocks = blocks(&document());
    let block = |kind: &str, name: &str| &*blocks[&format!("{kind}{name}")];
    for (name, request) in examples::requests() {
        let read = envelope::read::<Request<'_>>(block("request-", name), |_| true);
        assert_eq!(read, Ok((version(name), request.clone())));
        assert_eq!(codec::request(&block("request-", name)[2..]), Ok(request));
    }
    for (name, reply) in examples::replies() {
        let read = envelope::read::<Reply<'_>>(block("reply-", name), |_| true);
        assert_eq!(read, Ok((version(name), reply)));
    }
    let numbers = |name| block("", name).iter().copied();
    assert!(numbers("phases").map(Phase::from_number).eq(Phase::ALL.iter().copied()));
    assert!(numbers("roles").map(Role::from_number).eq(Role::ALL.iter().copied()));
    assert!(numbers("codes").map(Code::from_number).eq(Code::ALL.iter().copied()));
    assert_eq!(value::<[Subject; 16]>(block("", "subjects")), examples::subjects());
    assert!(numbers("states").map(State::from_number).eq(State::ALL.iter().copied()));
    for (name, record) in examples::records() {
        assert_eq!(value::<Record>(one(block("record-", name))), record);
        assert_eq!(codec::record(block("record-", name)), Ok((record, &[][..])));
    }
    for (name, item) in examples::items() {
        let key = ItemKey(block("key-", name).try_into().unwrap());
        assert_eq!(Item::from_key(&key), Some(item));
    }
    for (name, record) in examples::running() {
        assert_eq!(value::<Running>(one(block("running-", name))), record);
    }
    for (name, change) in examples::changes() {
        assert_eq!(value::<Change>(one(block("change-", name))), change);
    }
    for (name, stored) in examples::stored() {
        assert_eq!(value::<Stored>(one(block("stored-", name))), stored);
    }
}

#[test]
fn wires_and_image_of_the_document_are_whole() {
    let blocks = blocks(&document());
    let packet = &*blocks["session-to-router"];
    assert_eq!(open(&blocks["datagram"]), Some(packet));
    let mut input = &*blocks["frame"];
    let mut deframer = Deframer::new();
    assert_eq!(deframer.next(&mut input), Some(Received::Packet(packet)));

    let mut image = &*blocks["image"];
    assert_eq!(digest(image)[..], blocks["digest"]);
    let mut checker = Checker::default();
    while !image.is_empty() {
        let (record, rest) = codec::record(image).unwrap();
        checker.record(&record).unwrap();
        image = rest;
    }
    checker.finish().unwrap();
}

/// Checks that every variant of `T` has an example: each number has one, and the number after the
/// last is unknown.
fn complete<'b, T: Serialize + serde::Deserialize<'b>>(values: impl IntoIterator<Item = T>) {
    let mut buf = [0; 2048];
    let number = |value| postcard::to_slice(&value, &mut buf).unwrap()[0];
    let numbers: std::collections::BTreeSet<u8> = values.into_iter().map(number).collect();
    let count = u8::try_from(numbers.len()).unwrap();
    assert!(numbers.iter().copied().eq(0..count), "a variant without an example: {numbers:?}");
    let mut next = [0; 256];
    next[0] = count;
    // Zeros are valid for every kind of field.
    let next: &'static [u8] = Box::leak(Box::new(next));
    assert!(postcard::take_from_bytes::<T>(next).is_err(), "variant {count} has no example");
}

#[test]
fn every_variant_has_an_example() {
    fn values<T>(examples: examples::Examples<T>) -> impl Iterator<Item = T> {
        examples.into_iter().map(|(_, value)| value)
    }
    complete(values(examples::requests()).map(|request| request.ask));
    complete(values(examples::replies()).map(|reply| reply.answer));
    complete(values(examples::records()));
    complete(values(examples::running()));
    complete(values(examples::changes()));
    let acts = values(examples::stored()).map(|stored| stored.act.numbers().0);
    assert_eq!(acts.collect::<std::collections::BTreeSet<_>>(), [0, 1, 2].into());
    complete(examples::subjects());
    complete(values(examples::records()).filter_map(|record| match record {
        Record::Interface(interface) => Some(interface.private_key),
        _ => None,
    }));
}

#[test]
fn the_text_of_the_document_has_the_fingerprint_and_the_label_of_its_examples() {
    let text = document();
    let fingerprint = fingerprint(&sessions::router_public());
    assert!(text.contains(&format!("`{fingerprint}`")), "{fingerprint}");
    assert!(text.contains(&format!("`{}`", sessions::LABEL)), "{}", sessions::LABEL);
}

/// Numbers and names of a definition in the source: `Name ... = number,`.
fn defined(source: &str, start: &str) -> Vec<(u32, String)> {
    let (_, body) = source.split_once(start).unwrap_or_else(|| panic!("{start}"));
    let mut entries = Vec::new();
    let (mut name, mut depth) = (None, 0_i32);
    for line in body.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
        let word: String = line.chars().take_while(|c| c.is_alphanumeric()).collect();
        if depth == 0 && !word.is_empty() {
            name = Some(word);
        }
        let opened = |c| line.matches(c).count() as i32;
        depth += opened(['{', '(']) - opened(['}', ')']);
        let number = line.split_once(" = ").and_then(|(_, n)| n.strip_suffix(',')?.parse().ok());
        if let (0, Some(number)) = (depth, number) {
            entries.push((number, name.take().unwrap()));
        }
        if depth < 0 {
            return entries;
        }
    }
    panic!("{start} has no end");
}

/// Numbers and names in a table of the document, which may have two such pairs of columns.
fn tabled(text: &str, header: &str) -> Vec<(u32, String)> {
    let mut rows = text.lines().skip_while(|line| !line.starts_with(header)).skip(2);
    let rows: Vec<&str> = rows.by_ref().take_while(|line| line.starts_with('|')).collect();
    let mut entries = Vec::new();
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        for pair in cells.windows(2) {
            let name = pair[1].strip_prefix('`').and_then(|name| name.strip_suffix('`'));
            if let (Ok(number), Some(name)) = (pair[0].parse(), name) {
                entries.push((number, name.to_owned()));
            }
        }
    }
    entries.sort();
    entries
}

#[test]
fn the_tables_of_the_document_have_the_numbers_of_the_definitions() {
    let text = document();
    let message = include_str!("../src/protocol/message.rs");
    let (config, report) =
        (include_str!("../src/protocol/config.rs"), include_str!("../src/protocol/report.rs"));
    let (failure, numbers) =
        (include_str!("../src/protocol/failure.rs"), include_str!("../src/protocol/numbers.rs"));
    let tables = [
        ("| # | `Ask` |", message, "pub enum Ask<'a> as \"ask\" {\n", 23),
        ("| # | `Answer` |", message, "pub enum Answer<'a> {\n", 16),
        ("| # | code |", numbers, "    Code {\n", 29),
        ("| # | subject |", failure, "pub enum Subject {\n", 16),
        ("| # | record |", config, "pub enum Record as \"record\" {\n", 7),
        ("| # | running |", report, "pub enum Running {\n", 6),
        ("| # | change |", report, "pub enum Change {\n", 15),
    ];
    for (header, source, start, least) in tables {
        let defined = defined(source, start);
        assert!(defined.len() >= least, "{start}: {defined:?}");
        assert_eq!(tabled(&text, header), defined, "{header}");
    }
}

/// Computes challenge and codes by the rules of the document: the 32 symbols, and a check symbol
/// for each group.
#[test]
fn the_document_has_the_codes_that_open_a_console() {
    const SYMBOLS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    // Multiplication in the field, bit by bit.
    let times = |a: u16, b: u16| {
        let product = (0..5).filter(|bit| b >> bit & 1 == 1).fold(0, |sum, bit| sum ^ a << bit);
        (5..9).rev().fold(product, |rest, bit| {
            if rest >> bit & 1 == 1 { rest ^ 0b10_0101 << (bit - 5) } else { rest }
        })
    };
    let power = |n: u32| (0..n).fold(1, |power, _| times(power, 2));
    let spoken = |first: u16, values: &[u16]| {
        let groups = values.chunks(3).zip(first..).map(|(group, number)| {
            let check = (1..4)
                .zip(group.iter().rev())
                .fold(times(power(4), number), |sum, (n, value)| sum ^ times(power(n), *value));
            let symbols = group.iter().chain([&check]);
            symbols.map(|value| char::from(SYMBOLS[usize::from(*value)])).collect::<String>()
        });
        groups.collect::<Vec<_>>().join("-")
    };
    let challenge = spoken(1, &[19, 7, 23, 2, 9, 29, 20, 4, 26]);
    assert_eq!(challenge, sessions::challenge().to_string());
    let text = document();
    assert!(text.contains(&format!("`{challenge}`")), "{challenge}");
    for role in [Role::Admin, Role::ReadOnly] {
        let (_, _, hash) = sessions::unlock_by_hand(role);
        let number = u64::from_be_bytes(hash[..8].try_into().unwrap());
        let values: Vec<_> = (0..12).map(|nth| (number >> (59 - 5 * nth) & 31) as u16).collect();
        let code = spoken(17, &values);
        assert_eq!(code, sessions::code(role).to_string());
        assert!(text.contains(&format!("`{code}`")), "{role:?}: {code}");
    }
}
