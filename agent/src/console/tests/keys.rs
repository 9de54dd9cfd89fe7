//! The editor's keys, pages, and other output between them.

use std::string::{String, ToString};
use std::vec::Vec;

use super::rig::{push, with_router};
use crate::console::editor::{Editor, Manner, Typed};
use crate::testing::Router;

/// A line after some keys, the row of the screen, and the cursor's column.
fn typed(keys: &[&[u8]]) -> (String, String, u16) {
    let mut editor = Editor::new();
    editor.set_prompt("> ", Manner::Command);
    let mut screen = super::rig::screen(3);
    let mut echo = |bytes: &[u8]| screen.process(bytes);
    editor.redraw(&mut echo);
    for byte in keys.concat() {
        if editor.byte(byte, &mut echo) == Typed::Line {
            editor.remember();
            editor.clear();
            echo(b"\r");
            editor.redraw(&mut echo);
        }
    }
    let row = screen.screen().rows(0, 80).next().unwrap().trim_end().to_string();
    let line = String::from_utf8_lossy(editor.line()).to_string();
    (line, row, screen.screen().cursor_position().1)
}

#[test]
fn each_key_does_what_it_does_in_a_shell() {
    let table: &[(&[&[u8]], &str, u16)] = &[
        (&[b"show wg0"], "show wg0", 8),
        (&[b"shxx", b"\x7f\x08", b"ow"], "show", 4),
        (&[b"\x7f\x08"], "", 0),
        (&[b"how", b"\x01", b"s"], "show", 1),
        (&[b"how", b"\x1b[H", b"s"], "show", 1),
        (&[b"how", b"\x1b[1~", b"s"], "show", 1),
        (&[b"how", b"\x1bOH", b"s"], "show", 1),
        (&[b"sho", b"\x01\x05", b"w"], "show", 4),
        (&[b"sho", b"\x01\x1b[F", b"w"], "show", 4),
        (&[b"sho", b"\x01\x1b[4~", b"w"], "show", 4),
        (&[b"sho", b"\x01\x1bOF", b"w"], "show", 4),
        (&[b"sow", b"\x1b[D\x1b[D", b"h"], "show", 2),
        (&[b"sow", b"\x1bOD\x1bOD", b"h"], "show", 2),
        (&[b"sow", b"\x02\x02", b"h\x06\x06", b"!"], "show!", 5),
        (&[b"sow", b"\x1b[D\x1b[D", b"h\x1b[C\x1bOC", b"!"], "show!", 5),
        (&[b"shoow", b"\x1b[D\x1b[D", b"\x04"], "show", 3),
        (&[b"shoow", b"\x1b[D\x1b[D", b"\x1b[3~"], "show", 3),
        (&[b"show wg0", b"\x02\x02\x02\x02", b"\x0b"], "show", 4),
        (&[b"xx show", b"\x01\x06\x06\x06", b"\x15"], "show", 0),
        (&[b"show wg0  ", b"\x17"], "show ", 5),
        (&[b"show wg0", b"\x17\x17\x17"], "", 0),
        (&[b"status\r", b"\x1b[A"], "status", 6),
        (&[b"one\rtwo\r", b"\x1bOA\x1b[A"], "one", 3),
        (&[b"one\rtwo\r", b"\x10\x10\x0e"], "two", 3),
        (&[b"one\rtwo\r", b"\x1b[A\x1b[A\x1b[B\x1b[B"], "", 0),
        (&[b"one\r", b"dra\x1b[A", b"\x1b[B", b"ft"], "draft", 5),
        (&[b"one\rone\r", b"\x1b[A\x1b[A"], "one", 3),
        // CR, LF and CR LF end a line once.
        (&[b"one\r\ntwo\nthree\r", b"\x1b[A\x1b[A\x1b[A"], "one", 3),
        // Unknown keys change nothing.
        (&[b"show", b"\x1b[5~\x1b[20~\x1b[Z\x1bx\x1bOP\x1b[1;5P\x13\x11"], "show", 4),
        (&[b"sow", b"\x1b[1;5D\x1b[1;5D", b"h"], "show", 2),
        // Bytes that are not text are visible.
        (&[b"sh\xffow\x00\x1e"], "sh\x1aow\x1a\x1a", 7),
        (&[b"sh\xff", b"\x7f", b"ow"], "show", 4),
    ];
    for (keys, line, column) in table {
        let shown = line.replace('\x1a', "?");
        let wanted =
            (line.to_string(), std::format!("> {shown}").trim_end().to_string(), column + 2);
        assert_eq!(typed(keys), wanted, "{keys:?}");
    }
    std::println!("{} sequences of keys", table.len());
}

#[test]
fn a_long_line_scrolls_sideways_on_one_row() {
    let long: Vec<u8> = (0..200).map(|at| b'a' + at % 26).collect();
    let (line, row, column) = typed(&[&long]);
    assert_eq!((line.len(), column < 80), (200, true));
    assert!(row.starts_with("> ") && row.ends_with('r') && row.len() < 80, "{row}");
    let (_, row, column) = typed(&[&long, b"\x01"]);
    assert!(row.starts_with("> abcdef") && row.len() == 77 && column == 2, "{row}");
    // At every place the cursor stands on the byte that is deleted next.
    for left in 0..=200 {
        let keys = [&long[..], &b"\x02".repeat(left)[..]];
        let (_, row, column) = typed(&keys);
        let under = row.as_bytes().get(usize::from(column)).copied();
        assert_eq!(under, long.get(200 - left).copied(), "{left}");
    }
    // Text beyond the room makes the line invalid.
    let mut editor = Editor::new();
    (0..300).for_each(|_| assert_eq!(editor.byte(b'x', &mut |_| {}), Typed::Nothing));
    assert!(!editor.is_whole() && editor.line().len() == 256);
}

#[test]
fn tab_completes_commands_and_names_of_interfaces() {
    let router = Router::default();
    push(&router, 0, 1, 0);
    push(&router, 1, 2, 0);
    with_router(&router, None, true, |rig| {
        rig.wake();
        rig.keys("hist\t");
        assert!(rig.row().0.ends_with("# history"), "{:?}", rig.row());
        rig.keys("w\t1\r");
        assert_eq!(rig.person.ran.pop().unwrap(), "history wg1");
        rig.keys("re\t");
        assert!(rig.row().0.ends_with("# re"), "{:?}", rig.row());
        rig.keys("?");
        let screen = rig.screen();
        for word in ["revert", "repair", "remove"] {
            assert!(screen.contains(word), "{screen}");
        }
        assert!(rig.row().0.ends_with("# re"), "{screen}");
        rig.keys("pair wg0 ?");
        let screen = rig.screen();
        assert!(screen.contains("repair IF [within TIME]"), "{screen}");
    });
}

#[test]
fn long_output_stops_after_each_page_unless_it_is_not_to() {
    let router = Router::default();
    with_router(&router, None, true, |rig| {
        rig.wake();
        (0..60).for_each(|line| rig.bench.log.borrow_mut().push(std::format!("line {line}")));
        let last = |screen: &str| -> u32 {
            assert!(screen.ends_with("--More--"), "{screen}");
            let line = screen.lines().rev().find_map(|line| line.strip_prefix("line "));
            line.unwrap().trim_end().parse().unwrap()
        };
        let first = last(&rig.run("log"));
        rig.keys("\r");
        assert_eq!(last(&rig.screen()), first + 1);
        rig.keys(" ");
        assert_eq!(last(&rig.screen()), first + 1 + 23);
        rig.keys("q");
        let screen = rig.screen();
        assert!(!screen.contains("More") && rig.row().0.ends_with('#'), "{screen}");
        rig.run("more off");
        let screen = rig.run("log");
        assert!(screen.contains("line 59") && rig.row().0.ends_with('#'), "{screen}");
        rig.run("more on");
        rig.run("log");
        // A key during a page belongs to the page, and the next line is a command again.
        rig.keys("qhelp\r");
        assert_eq!(rig.person.ran.last().unwrap(), "help");
    });
}

#[test]
fn the_typed_line_is_written_again_after_other_output() {
    let router = Router::default();
    with_router(&router, None, true, |rig| {
        rig.wake();
        rig.keys("sta");
        rig.print(b"[   12.3] usb 1-1: new device\r\n");
        rig.redraw();
        assert!(rig.row().0.ends_with("# sta"), "{:?}", rig.row());
        rig.print(b"\x00\x07\x9drubbish\x1b");
        rig.person.terminal.soil();
        rig.keys("tus");
        assert!(rig.row().0.ends_with("# status"), "{:?}", rig.row());
        rig.keys("\r");
        assert_eq!(rig.person.ran.last().unwrap(), "status");
    });
}

#[test]
fn ctrl_c_drops_the_line_and_ctrl_d_leaves() {
    let router = Router::default();
    with_router(&router, None, true, |rig| {
        rig.wake();
        rig.keys("remove wg0\x03");
        assert!(rig.row().0.ends_with('#'), "{:?}", rig.row());
        rig.keys("\r");
        rig.keys("\x04");
        assert_eq!(rig.person.wish, crate::console::terminal::Wish::Exit);
        assert!(!rig.person.ran.iter().any(|line| line.contains("remove")));
    });
}

#[test]
fn a_terminal_that_echoes_falls_silent() {
    let router = Router::default();
    with_router(&router, None, true, |rig| {
        // Kernel lines, and the lines of a boot loader, wake no terminal.
        rig.keys("[    0.1] Linux version\r\nU-Boot 2024\r\n");
        assert_eq!(rig.person.sent, b"");
        rig.keys("\r");
        let mut bytes = core::mem::take(&mut rig.person.sent);
        let mut rounds = 0;
        while !bytes.is_empty() {
            rig.bytes(&bytes);
            bytes = core::mem::take(&mut rig.person.sent);
            rounds += 1;
            assert!(rounds < 50, "{}", String::from_utf8_lossy(&bytes));
        }
        std::println!("silent after {rounds} rounds");
    });
}
