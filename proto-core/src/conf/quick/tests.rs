use super::*;
use proptest::prelude::*;

/// The settings, and the rest for wg(8).
type Read = (Vec<(u32, Field, String)>, String);

fn read_in(text: &[u8], piece: usize) -> Result<Read, ConfError> {
    let (mut settings, mut rest) = (Vec::new(), Vec::new());
    let mut take = |at: Span, part: &Part<'_>| {
        match part {
            Part::Setting(setting, value) => {
                settings.push((at.line, *setting, (*value).to_owned()))
            }
            Part::Wg(bytes) => rest.extend(*bytes),
        }
        Ok(())
    };
    let mut value = [0; QUICK_VALUE_MAX];
    let mut file = QuickFile::new(&mut value);
    for piece in text.chunks(piece) {
        file.feed(piece, &mut take)?;
    }
    file.end(&mut take)?;
    Ok((settings, String::from_utf8_lossy(&rest).into_owned()))
}

fn read(text: &str) -> Read {
    let read = read_in(text.as_bytes(), 4096).unwrap();
    for piece in [1, 2, 3, 7] {
        assert_eq!(read_in(text.as_bytes(), piece).unwrap(), read, "in pieces of {piece}");
    }
    read
}

#[track_caller]
fn settings(text: &str, wanted: &[(u32, Field, &str)]) {
    let (settings, _) = read(text);
    let settings: Vec<_> = settings.iter().map(|(line, s, v)| (*line, *s, v.as_str())).collect();
    assert_eq!(settings, wanted);
}

#[test]
fn settings_are_told_and_the_rest_is_left() {
    let text = "# mine\n[Interface]\n\tAddress = 10.0.0.1/24, fd00::1/64 # two\nPrivateKey = abc \t\n\
                mtu=1400\r\nDNS =\nPostUp = echo '#' %i; true # all of it\n\n[Peer]\nMTU = 7\nAllowedIPs = ::/0";
    settings(
        text,
        &[
            (3, Field::Address, "10.0.0.1/24, fd00::1/64"),
            (5, Field::Mtu, "1400"),
            (6, Field::Dns, ""),
            (7, Field::PostUp, "echo '#' %i; true # all of it"),
        ],
    );
    let (_, rest) = read(text);
    assert_eq!(
        rest,
        "# mine\n[Interface]\nPrivateKey = abc\n\n[Peer]\nMTU = 7\nAllowedIPs = ::/0\n"
    );
}

#[test]
fn places_are_those_in_the_line() {
    let text = "[Interface]\n\t MTU =\t1400 # x\r\n  DNS =  \n\0Post\0Up=a b \n \t ListenPort = 1\n[Peer]\nMTU = 1\n";
    let wanted = [
        (2, "MTU", "1400"),
        (3, "DNS", ""),
        (4, "Post\0Up", "a b"),
        // Of a line for wg(8), all from its first byte.
        (1, "", "[Interface]"),
        (5, "", "ListenPort = 1"),
        (6, "", "[Peer]"),
        (7, "", "MTU = 1"),
    ];
    for piece in [1, 2, 5, 100] {
        let mut value = [0; 64];
        let mut file = QuickFile::new(&mut value);
        let (mut settings, mut others) = (Vec::new(), Vec::new());
        let lines: Vec<&str> = text.split('\n').collect();
        let mut take = |at: Span, part: &Part<'_>| {
            let line = lines[at.line as usize - 1];
            let name = &line[at.name.from..at.name.to];
            match part {
                Part::Setting(..) => {
                    settings.push((at.line, name, &line[at.text.from..at.text.to]));
                }
                Part::Wg(b"\n") => others.push((at.line, name, &line[at.text.from..])),
                Part::Wg(_) => {}
            }
            Ok(())
        };
        for piece in text.as_bytes().chunks(piece) {
            file.feed(piece, &mut take).unwrap();
        }
        assert_eq!([settings, others].concat(), wanted, "in pieces of {piece}");
    }
    let mut value = [0; 16];
    let mut file = QuickFile::new(&mut value);
    let error =
        file.feed(b"[Interface]\n  MTU = 12345678901234567\n", &mut |_, _| Ok(())).unwrap_err();
    let at = file.span();
    assert_eq!((error.line, at.line, at.name.from, at.name.to), (2, 2, 2, 5));
}

#[test]
fn a_byte_order_mark_is_left_out() {
    settings("\u{feff}[Interface]\nMTU = 1400\n", &[(2, Field::Mtu, "1400")]);
    settings("\u{feff} [Interface]\nMTU = 1400\n", &[(2, Field::Mtu, "1400")]);
    // A byte order mark is skipped at the start of the file only.
    assert_eq!(read("[Interface]\n\u{feff}MTU = 1\n").1, "[Interface]\n\u{feff}MTU = 1\n");
}

#[test]
fn sections_in_any_case_and_with_comments() {
    for head in
        ["[Interface]", " [interface] ", "[INTERFACE] # x", "[Interface]\r", "[interface]=1"]
    {
        settings(&format!("{head}\nTable = off\n"), &[(2, Field::Table, "off")]);
    }
    for head in
        ["", "[Peer]", "[ Interface]", "[Interface]\n[Peer]", "[Interface]\n[x", "Interface"]
    {
        settings(&format!("{head}\nTable = off\n"), &[]);
    }
    settings("[Peer]\n[Interface]\nTABLE = off\n", &[(3, Field::Table, "off")]);
}

#[test]
fn a_name_alone_is_left() {
    let (settings, rest) = read("[Interface]\nAddress\nSaveConfig # = true\nAddress x = 1\n");
    assert_eq!(settings, []);
    assert_eq!(rest, "[Interface]\nAddress\nSaveConfig # = true\nAddress x = 1\n");
}

#[test]
fn blanks_at_the_ends_of_lines_go() {
    let (_, rest) = read("  a b\t= c  d \t \n \t\n\0x\0\n e");
    assert_eq!(rest, "a b\t= c  d\n\nx\ne\n");
    assert_eq!(read("").1, "");
    assert_eq!(read(" \t").1, "");
    assert_eq!(read("\n\n").1, "\n\n");
}

#[test]
fn a_command_has_an_end() {
    let command = |len: usize| format!("[Interface]\nPostUp = {}\n", "x".repeat(len));
    // The blank before the value counts.
    let most = QUICK_VALUE_MAX - 1;
    settings(&command(most), &[(2, Field::PostUp, &"x".repeat(most))]);
    let error = read_in(command(most + 1).as_bytes(), 100).unwrap_err();
    assert_eq!(error.to_string(), "line 2: PostUp is too long");
    let error = read_in(b"[Interface]\nPostUp = \xff\n", 100).unwrap_err();
    assert_eq!(error.to_string(), "line 2: PostUp is not UTF-8 text");
}

#[test]
fn other_lines_have_none() {
    for text in ["x".repeat(100_000), format!("AllowedIPs = {}", "10.0.0.0/8, ".repeat(10_000))] {
        let (_, rest) = read(&text);
        assert_eq!(rest, format!("{}\n", text.trim_end()));
    }
    let (_, rest) = read(&format!("{}=1{}2", "x".repeat(17_000), " ".repeat(50_000)));
    assert_eq!(rest.len(), 17_000 + 2 + 50_000 + 2);
}

#[test]
fn the_taker_may_stop() {
    let stopped = QuickFile::new(&mut [0; 8]).feed(b"x\n", &mut |_, _| Err(Stop)).unwrap_err();
    assert_eq!((stopped.line, stopped.problem), (1, Problem::Stopped));
}

/// The output of Debian's `wg-quick` for a file, line by line.
fn model(text: &str) -> String {
    let mut inside = false;
    let mut rest = String::new();
    for line in text.lines() {
        let line = line.trim_matches([' ', '\t']);
        let stripped = line.split('#').next().unwrap();
        let key = stripped.split('=').next().unwrap().trim_ascii();
        if key.starts_with('[') {
            inside = key.eq_ignore_ascii_case("[interface]");
        }
        let ours = Field::of_quick(key.as_bytes()).is_some();
        if !(inside && ours && stripped.contains('=')) {
            rest += &format!("{line}\n");
        }
    }
    rest
}

proptest! {
    #[test]
    fn what_is_left_is_what_debian_leaves(
        lines in prop::collection::vec(
            "[ \t]{0,2}(\\[Interface\\]|\\[Peer\\]|MTU|address|PreUp|ListenPort|)[ \t]{0,2}(=|==|)[ a#=]{0,4}",
            0..8,
        ),
        piece in 1..9_usize,
    ) {
        let text = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        let (_, rest) = read_in(text.as_bytes(), piece).unwrap();
        prop_assert_eq!(rest, model(&text));
    }
}
