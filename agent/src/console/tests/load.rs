//! `load`: pasted text arrives whole, and the committed configuration is the displayed one.

use std::string::String;
use std::vec::Vec;

use proto_core::protocol::message::Role;

use super::rig::{ANNE, Rig, owned, push, push_to, with_router};
use crate::testing::Router;

/// A file of 400 lines, some of them longer than the screen.
fn long_file() -> String {
    let mut file = String::from("[Interface]\nListenPort = 7\nAddress = 10.0.0.7/24\nMTU = 1407\n");
    for peer in 0..99_u8 {
        let mut key = [peer; 32];
        key[31] = 1;
        let nets: Vec<String> = (0..9).map(|net| std::format!("10.{net}.{peer}.0/24")).collect();
        file += &std::format!(
            "[Peer]\nPublicKey = {}\nAllowedIPs = {}\nPersistentKeepalive = 25\n",
            proto_core::key::PublicKey(key),
            nets.join(", ")
        );
    }
    file
}

fn paste(rig: &mut Rig<'_, '_>, file: &str) -> String {
    rig.run("more off");
    rig.run("load wg0");
    rig.person.sent.clear();
    rig.keys(&file.replace('\n', "\r"));
    rig.keys(".\r");
    String::from_utf8_lossy(&rig.person.sent).to_string()
}

#[test]
fn the_echo_of_a_pasted_file_is_not_longer_than_the_file_and_a_byte_for_each_line() {
    let router = Router::default();
    let file = long_file();
    assert_eq!(file.lines().count(), 400);
    with_router(&router, None, true, |rig| {
        rig.run("load wg0");
        rig.person.sent.clear();
        rig.keys(&file.replace('\n', "\r"));
        let (sent, most) = (rig.person.sent.len(), file.len() + 400);
        assert!(sent <= most, "{sent} bytes, and {most} at most");
        rig.keys(".\r");
        rig.keys("q");
        let screen = rig.run("commit");
        assert!(screen.contains("are you sure?") || screen.contains("applied:"), "{screen}");
        let shown = rig.run("history wg0");
        assert!(shown.contains("pushed by console"), "{shown}");
        std::println!("{} bytes pasted, {sent} echoed", file.len());
    });
    // 99 peers with 9 networks each.
    assert_eq!(router.world.seen().peers.iter().filter(|peer| peer.0 == "wg0").count(), 99);
}

#[test]
fn a_file_loaded_twice_changes_nothing_the_second_time() {
    let router = Router::default();
    with_router(&router, None, true, |rig| {
        let file = "[Interface]\nListenPort = 9\nAddress = 10.0.0.1/24\n";
        assert!(paste(rig, file).contains("new interface"));
        assert!(rig.run("commit").contains("applied:"));
        let said = paste(rig, file);
        assert!(said.contains("nothing has to change"), "{said}");
        let said = rig.run("commit");
        assert!(said.contains("nothing has to change"), "{said}");
    });
}

#[test]
fn a_console_that_closes_during_a_paste_loads_nothing() {
    let router = Router::default();
    push(&router, 0, 1, 0);
    let before = router.content(0);
    with_router(&router, Some(owned()), true, |rig| {
        rig.unlock(ANNE, Role::Admin);
        rig.run("load wg0");
        rig.keys("[Interface]\rListenPort = 9\r");
        rig.later(11 * 60_000);
        rig.tick();
        rig.keys("MTU = 1500\r.\r");
        let screen = rig.run("commit");
        assert!(screen.contains("guest"), "{screen}");
    });
    assert_eq!(router.content(0), before);
}

#[test]
fn a_loaded_file_is_dropped_when_the_console_closes() {
    let router = Router::default();
    with_router(&router, Some(owned()), true, |rig| {
        rig.unlock(ANNE, Role::Admin);
        assert!(paste(rig, "[Interface]\nListenPort = 9\n").contains("new interface"));
        rig.later(4 * 60_000);
        rig.tick();
        rig.unlock(ANNE, Role::Admin);
        let screen = rig.run("commit");
        assert!(screen.contains("nothing is loaded"), "{screen}");
        // The file is wiped, too.
        assert_eq!(rig.pasted(), 0);
    });
}

#[test]
fn a_push_of_the_same_interface_is_seen_before_the_commit() {
    let router = Router::default();
    push(&router, 0, 1, 0);
    with_router(&router, None, true, |rig| {
        paste(rig, "[Interface]\nListenPort = 9\n");
        push_to(rig.agent.service_mut(), 0, 5, 0);
        let pushed = router.content(0);
        let screen = rig.run("commit");
        assert!(screen.contains("was changed since the file was loaded"), "{screen}");
        assert!(screen.contains("5 -> 9"), "{screen}");
        assert_eq!(router.content(0), pushed);
        assert!(rig.run("commit").contains("applied:"));
    });
}

/// Whatever comes behind the place where the file no longer fits: nothing of it is a command, and nothing of it can be
/// read again with the key Up.
#[test]
fn a_file_that_does_not_fit_is_read_to_its_end_and_dropped() {
    let router = Router::default();
    push(&router, 0, 1, 0);
    let before = router.content(0);
    for serial in [true, false] {
        with_router(&router, None, serial, |rig| {
            rig.run("load wg1");
            rig.keys("[Interface]\rListenPort = 9\r");
            rig.person.fill_paste();
            rig.keys("PrivateKey = c2VjcmV0\rremove wg0\ryes\rmore off\r");
            let screen = rig.screen();
            assert!(!screen.contains("there is no command"), "{screen}");
            rig.keys(".\r");
            let screen = rig.screen();
            assert!(screen.contains("no room for line 3"), "{screen}");
            assert!(rig.run("commit").contains("nothing is loaded"));
            assert_eq!(rig.pasted(), 0);
            for _ in 0..4 {
                rig.keys("\x1b[A");
                assert!(!rig.row().0.contains("PrivateKey"), "{:?}", rig.row());
            }
        });
    }
    assert_eq!(router.content(0), before);
}

/// The lines that are still on their way when the console closes.
#[test]
fn the_rest_of_a_file_is_not_in_the_history() {
    let router = Router::default();
    with_router(&router, Some(owned()), true, |rig| {
        rig.unlock(ANNE, Role::Admin);
        rig.run("load wg0");
        rig.keys("[Interface]\r");
        rig.later(11 * 60_000);
        rig.tick();
        rig.keys("PrivateKey = c2VjcmV0\r");
        rig.keys("stauts\r");
        rig.keys("\x1b[A");
        assert!(rig.row().0.contains("stauts"), "{:?}", rig.row());
        rig.keys("\x1b[A");
        assert!(!rig.row().0.contains("PrivateKey"), "{:?}", rig.row());
    });
}
