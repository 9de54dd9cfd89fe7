//! Every step of the disk failing, every moment of a power cut, and every damage to a file.

use super::*;
use crate::config::image::Span;
use crate::config::records::RecordWriter;
use crate::store::keep;
use crate::testing::{Cellar, Mishap, UNSYNCED};
use proto_core::key::PublicKey;
use proto_core::protocol::config::{Interface, PrivateKey, Record};
use proto_core::protocol::message::cut;
use proto_core::protocol::report::Act;

fn head(number: u32) -> Head {
    let head = Head::new("wg.0".parse().unwrap(), number, Act::RolledBack { number: 7 });
    Head { time: 1 << 40, key: PublicKey([9; 32]), by: cut("Änne"), added: 5, up: true, ..head }
}

/// An image that tells of its number, longer than what is written at once.
fn write(
    slot: &Slot,
    file: &mut impl File,
    from: u32,
    number: u32,
) -> Result<(u32, Digest), Fault> {
    let mut writer = RecordWriter::new(slot, Some(file), from)?;
    writer.record(&Record::Interface(Interface {
        name: "wg.0".parse().unwrap(),
        private_key: PrivateKey::None,
        listen_port: None,
        fwmark: number,
        mtu: 1420,
    }))?;
    for n in 0..100 {
        let net = proto_core::ip::IpNet::new([10, 0, n, number as u8].into(), 32).unwrap();
        writer.record(&Record::Address(net))?;
    }
    writer.finish()
}

fn prepare(store: &mut Store<'_, Cellar>, number: u32) -> Result<Head, Fault> {
    let mut head = head(number);
    let slot = store.slot;
    store.prepare(&mut head, &mut |file, from| write(slot, file, from, number))?;
    Ok(head)
}

/// Stores a configuration.
fn store(store: &mut Store<'_, Cellar>, number: u32) -> Result<(), Fault> {
    let head = prepare(store, number)?;
    store.promote(&head)
}

/// The number of what a router starts with, which has to be whole, and how many were not.
fn starts_with(cellar: &Cellar) -> (Option<u32>, u32) {
    let slot = Slot::default();
    let mut store = Store::new(&slot, cellar.clone());
    let mut damaged = 0;
    let found = store.newest_whole("wg.0", u32::MAX, &mut |slot, fault| {
        assert_eq!(slot.take(fault).code, Code::Damaged);
        damaged += 1;
    });
    let number = found.unwrap().map(|(found, mut file)| {
        let number = found.number;
        let expected = Head { length: found.length, digest: found.digest, ..head(number) };
        assert_eq!(found, expected);
        let Span { from, end } = found.span();
        let mut records = crate::config::image::Records::new(&slot, &mut file, from, end);
        let Some(Record::Interface(interface)) = records.next().unwrap() else { panic!() };
        assert_eq!(interface.fwmark, number);
        number
    });
    (number, damaged)
}

/// A disk with the first configuration on it, and how many steps the second one takes.
fn first() -> (Cellar, usize) {
    let slot = Slot::default();
    let both = Cellar::default();
    store(&mut Store::new(&slot, both.clone()), 1).unwrap();
    let before = both.steps();
    store(&mut Store::new(&slot, both.clone()), 2).unwrap();
    let cellar = Cellar::default();
    store(&mut Store::new(&slot, cellar.clone()), 1).unwrap();
    (cellar, both.steps() - before)
}

#[test]
fn a_file_with_a_block_that_cannot_be_read_is_damaged() {
    let (cellar, _) = first();
    let slot = Slot::default();
    store(&mut Store::new(&slot, cellar.clone()), 2).unwrap();
    for from in [None, Some(0), Some(HEAD - 1), Some(HEAD), Some(HEAD + 500)] {
        for errno in [Errno::EIO, Errno::EBADMSG, Errno::EUCLEAN] {
            cellar.unreadable(c"wg.0.2", from, errno);
            assert_eq!(starts_with(&cellar), (Some(1), 1), "{from:?} {errno:?}");
            let opened = Store::new(&slot, cellar.clone()).open("wg.0", 2).map(|_| ());
            let failure = slot.take(opened.unwrap_err());
            assert_eq!(i32::from(failure.errno), errno.0);
            let words = std::format!("stored configuration 2 cannot be read: {errno}");
            assert_eq!(failure.text, *words);
        }
    }
    // A lack that passes says nothing of the file.
    cellar.unreadable(c"wg.0.2", None, Errno::EMFILE);
    let opened = Store::new(&slot, cellar).open("wg.0", 2).map(|_| ());
    assert_eq!(slot.take(opened.unwrap_err()).code, Code::Storage);
}

#[test]
fn a_power_cut_at_any_step_leaves_the_old_or_the_new() {
    let steps = first().1;
    let (mut old, mut new) = (0, 0);
    for step in 0..=steps {
        let (cellar, _) = first();
        cellar.mishap(step, Mishap::Cut);
        let slot = Slot::default();
        let told = store(&mut Store::new(&slot, cellar.clone()), 2).is_ok();
        for changes in 0..cellar.outcomes() {
            for unsynced in UNSYNCED {
                let (number, damaged) = starts_with(&cellar.after_cut(changes, unsynced));
                // What has a name was synced before.
                assert_eq!(damaged, 0, "step {step}");
                match number {
                    Some(1) if !told => old += 1,
                    Some(2) => new += 1,
                    other => panic!("step {step}: {other:?}, told {told}"),
                }
            }
        }
    }
    assert!(old > 0 && new > 0);
}

#[test]
fn a_step_that_fails_leaves_the_old_and_the_next_try_works() {
    let steps = first().1;
    let failures = [Errno::ENOSPC, Errno::EIO, Errno(30)];
    let mishaps = failures.map(Mishap::Fails).into_iter().chain(failures.map(Mishap::Torn));
    for (mishap, step) in mishaps.flat_map(|mishap| (0..steps).map(move |step| (mishap, step))) {
        let (cellar, _) = first();
        cellar.mishap(step, mishap);
        let slot = Slot::default();
        let mut disk = Store::new(&slot, cellar.clone());
        let failed = store(&mut disk, 2);
        let at = format!("{mishap:?} at step {step}");
        let number = starts_with(&cellar).0;
        if let Err(fault) = failed {
            assert_eq!(slot.take(fault).code, Code::Storage, "{at}");
            // A rename that was done and said that it was not.
            let lied = matches!(mishap, Mishap::Torn(_)) && number == Some(2);
            assert!(number == Some(1) || lied, "{at}: {number:?}");
            for changes in 0..cellar.outcomes() {
                let left = starts_with(&cellar.after_cut(changes, UNSYNCED[0])).0;
                assert!(matches!(left, Some(1 | 2)), "{at}: {left:?}");
            }
        } else {
            assert_eq!(number, Some(2), "{at}");
        }
        store(&mut disk, 3).unwrap();
        assert_eq!(starts_with(&cellar), (Some(3), 0), "{at}");
        assert!(!cellar.names().contains(&"next".to_owned()), "{at}");
    }
}

#[test]
fn short_writes_are_gone_on_with() {
    for most in [1, 7, 100] {
        let (slot, cellar) = (Slot::default(), Cellar::default());
        cellar.at_most(most);
        store(&mut Store::new(&slot, cellar.clone()), 1).unwrap();
        assert_eq!(starts_with(&cellar), (Some(1), 0));
    }
}

#[test]
fn what_is_damaged_is_not_used() {
    let (cellar, _) = first();
    let slot = Slot::default();
    store(&mut Store::new(&slot, cellar.clone()), 2).unwrap();
    let newest = c"wg.0.2";
    let mut whole = Vec::new();
    cellar.damage(newest, |bytes| whole.clone_from(bytes));
    for at in 0..whole.len() {
        cellar.damage(newest, |bytes| bytes[at] ^= 1 << (at % 8));
        assert_eq!(starts_with(&cellar), (Some(1), 1), "bit of byte {at}");
        cellar.damage(newest, |bytes| *bytes = whole[..at].to_vec());
        assert_eq!(starts_with(&cellar), (Some(1), 1), "{at} bytes");
        cellar.damage(newest, |bytes| bytes.clone_from(&whole));
    }
    // More behind the image does no harm.
    cellar.damage(newest, |bytes| bytes.extend([0; 9]));
    assert_eq!(starts_with(&cellar), (Some(2), 0));
    let slot = Slot::default();
    // The number is that of the name.
    let mut disk = Store::new(&slot, cellar.clone());
    disk.disk.rename(c"wg.0.2", c"wg.0.5").unwrap();
    assert_eq!(starts_with(&cellar), (Some(1), 1));
}

#[test]
fn another_format_is_told_apart() {
    let (cellar, _) = first();
    cellar.damage(c"wg.0.1", |bytes| {
        bytes[4] = 9;
        // Whole in every other way.
        let end = HEAD - 16;
        let sum = proto_core::protocol::digest(&bytes[..end]);
        bytes[end..HEAD].copy_from_slice(&sum[..16]);
    });
    let slot = Slot::default();
    let failure = Store::new(&slot, cellar).open("wg.0", 1).unwrap_err();
    let failure = slot.take(failure);
    assert_eq!(failure.code, Code::Damaged);
    assert!(failure.text.contains("format 9"), "{}", failure.text);
}

#[test]
fn names_of_files_are_those_of_interfaces_and_numbers() {
    let parsed = |name: &CStr| FileName::parse(name);
    assert_eq!(parsed(c"wg0.1"), Some(("wg0".parse().unwrap(), 1)));
    assert_eq!(parsed(c"a.b.4294967295"), Some(("a.b".parse().unwrap(), u32::MAX)));
    for name in
        [c"next", c"owners", c"wg0", c"wg0.", c"wg0.01", c".1", c"wg0.1x", c"wg0.4294967296"]
    {
        assert_eq!(parsed(name), None, "{name:?}");
    }
    assert_eq!(FileName::new("abcdefghijklmno", u32::MAX).as_c(), c"abcdefghijklmno.4294967295");
}

#[test]
fn only_the_last_few_are_kept() {
    let (slot, cellar) = (Slot::default(), Cellar::default());
    let mut disk = Store::new(&slot, cellar.clone());
    for number in 1..=12 {
        store(&mut disk, number).unwrap();
    }
    assert_eq!(cellar.names(), ["wg.0.10", "wg.0.11", "wg.0.12", "wg.0.8", "wg.0.9"]);
    assert_eq!(disk.interface_after(None).unwrap().unwrap(), "wg.0");
    assert_eq!(disk.interface_after(Some(&"wg.0".parse().unwrap())).unwrap(), None);
}

#[test]
fn a_small_file_is_replaced_whole_or_not_at_all() {
    let (old, new) = (vec![1; 300], vec![2; 500]);
    let read = |cellar: &Cellar| {
        let mut buf = [0; 600];
        let len = cellar.clone().open(c"owners").unwrap().read_at(0, &mut buf).unwrap();
        buf[..len].to_vec()
    };
    for step in 0..8 {
        for mishap in [Mishap::Cut, Mishap::Fails(Errno::ENOSPC), Mishap::Torn(Errno::EIO)] {
            let mut cellar = Cellar::default();
            keep::replace(&mut cellar, c"owners", &old).unwrap();
            cellar.mishap(step, mishap);
            let told = keep::replace(&mut cellar, c"owners", &new).is_ok();
            for changes in 0..cellar.outcomes() {
                for unsynced in UNSYNCED {
                    let left = read(&cellar.after_cut(changes, unsynced));
                    assert!(left == new || (!told && left == old), "step {step} {mishap:?}");
                }
            }
        }
    }
}

#[test]
fn a_full_disk_gives_up_history_before_it_refuses_what_is_new() {
    let slot = Slot::default();
    let cellar = Cellar::default();
    let mut disk = Store::new(&slot, cellar.clone());
    for number in 1..=4 {
        store(&mut disk, number).unwrap();
    }
    let one = cellar.used() / 4;
    // Room for the four, and for nothing besides them: the oldest goes.
    cellar.has_room(4 * one + one / 2);
    store(&mut disk, 5).unwrap();
    assert_eq!(cellar.names(), ["wg.0.2", "wg.0.3", "wg.0.4", "wg.0.5"]);
    // Two fit: all history goes, and what the router starts with stays until the new one is there.
    cellar.has_room(2 * one + one / 2);
    store(&mut disk, 6).unwrap();
    assert_eq!(cellar.names(), ["wg.0.5", "wg.0.6"]);
    // One fits: nothing is given up for what cannot be kept.
    cellar.has_room(one + one / 2);
    let fault = store(&mut disk, 7).unwrap_err();
    assert_eq!(slot.take(fault).errno, Errno::ENOSPC.0 as u16);
    assert_eq!(cellar.names(), ["wg.0.6"]);
    assert_eq!(starts_with(&cellar), (Some(6), 0));
}

#[test]
fn a_full_disk_never_gives_up_the_newest_that_is_whole() {
    let slot = Slot::default();
    let cellar = Cellar::default();
    let mut disk = Store::new(&slot, cellar.clone());
    for number in 1..=3 {
        store(&mut disk, number).unwrap();
    }
    cellar.damage(c"wg.0.3", |bytes| bytes[60] ^= 1);
    cellar.has_room(1);
    let fault = store(&mut disk, 4).unwrap_err();
    drop(slot.take(fault));
    assert_eq!(cellar.names(), ["wg.0.2", "wg.0.3"]);
    assert_eq!(starts_with(&cellar), (Some(2), 1));
}

#[test]
fn a_small_file_that_cannot_be_replaced_leaves_nothing_of_itself() {
    let steps = {
        let mut cellar = Cellar::default();
        keep::replace(&mut cellar, c"identity", &[1; 99]).unwrap();
        cellar.steps()
    };
    for step in 0..steps {
        for mishap in [Mishap::Fails(Errno::ENOSPC), Mishap::Torn(Errno::EIO)] {
            let mut cellar = Cellar::default();
            cellar.mishap(step, mishap);
            keep::replace(&mut cellar, c"identity", &[1; 99]).unwrap_err();
            assert!(!cellar.names().contains(&"new".to_owned()), "{step} {mishap:?}");
        }
    }
}

#[test]
fn a_folder_named_like_a_configuration_is_damaged_and_stops_nothing() {
    let slot = Slot::default();
    let cellar = Cellar::default();
    let mut stored = Store::new(&slot, cellar.clone());
    store(&mut stored, 3).map_err(|fault| slot.take(fault)).unwrap();
    cellar.make_folder(c"wg.0.4");
    let fault = stored.open("wg.0", 4).map(|_| ()).unwrap_err();
    assert_eq!(slot.take(fault).code, Code::Damaged);
    let mut told = 0;
    let newest = stored.newest_whole("wg.0", u32::MAX, &mut |slot, fault| {
        told += 1;
        drop(slot.take(fault));
    });
    let newest = newest.map_err(|fault| slot.take(fault)).unwrap();
    assert_eq!((newest.unwrap().0.number, told), (3, 1));
    store(&mut stored, 5).map_err(|fault| slot.take(fault)).unwrap();
}
