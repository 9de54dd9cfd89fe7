//! Manifests with mistakes, each at its place, and manifests without.

use std::path::PathBuf;

use postwire::manifest::{Manifest, Mistake};

const KEYS: [&str; 2] = [
    "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=",
    "TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=",
];
const SITE: &str = "[Interface]\nPrivateKey = generate\nAddress = {{address}}\n\n[Peer]\nPublicKey = \
                    xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\nAllowedIPs = {{net}}\n";

struct Folder(tempfile::TempDir);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        Self(dir)
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("fleet.toml")
    }

    fn load(&self) -> Result<Manifest, Vec<Mistake>> {
        Manifest::load(&self.path(), None, &mut |_| {})
    }

    /// The mistakes, without the folder.
    fn mistakes(&self) -> Vec<String> {
        let folder = format!("{}/", self.0.path().display());
        let mistakes = self.load().expect_err("a mistake");
        mistakes.iter().map(|mistake| mistake.to_string().replace(&folder, "")).collect()
    }
}

fn manifest(text: &str) -> Folder {
    Folder::new(&[
        (
            "fleet.toml",
            &format!(
                "version = 1\n[defaults]\ntemplate = \"site.conf\"\ninterface = \"wg0\"\n{text}"
            ),
        ),
        ("site.conf", SITE),
    ])
}

#[test]
fn units_of_both_files_have_their_images() {
    let folder = Folder::new(&[
        (
            "fleet.toml",
            &format!(
                "version = 1\ncsv = \"units.csv\"\n[defaults]\ntemplate = \"site.conf\"\ninterface = \"wg0\"\n\
                 jobs = 7\nconfirm_within = \"60s\"\n[vars]\nnet = \"10.0.0.0/8\"\n\
                 [[unit]]\nname = \"a\"\nkey = \"{}\"\ntags = [\"north\"]\nvars = {{ address = \"10.1.0.1/24\" }}\n",
                KEYS[0]
            ),
        ),
        (
            "units.csv",
            "name,udp,tags,address,net\nb,10.0.0.7,north pilot,10.1.0.2/24,\n\"c\",,,\"10.1.0.3/24\",10.2.0.0/16\n",
        ),
        ("site.conf", SITE),
    ]);
    let manifest = folder.load().unwrap();
    let names: Vec<&str> = manifest.units.iter().map(|unit| unit.name.as_str()).collect();
    assert_eq!(
        (names, manifest.jobs, manifest.confirm_within),
        (vec!["a", "b", "c"], Some(7), Some(60))
    );
    assert_eq!(manifest.units[1].tags, ["north", "pilot"]);
    let mut digests = Vec::new();
    for unit in &manifest.units {
        let (source, image) = manifest.image(unit).unwrap();
        assert_eq!(proto_core::protocol::digest(&image.bytes), unit.digest);
        assert!(source.text.contains(["10.1.0.1/24", "10.1.0.2/24", "10.1.0.3/24"][unit.row - 1]));
        digests.push(unit.digest);
    }
    digests.dedup();
    assert_eq!(digests.len(), 3);
}

#[test]
fn every_mistake_has_its_place() {
    let unit = |more: &str| {
        format!(
            "[[unit]]\nname = \"a\"\nvars = {{ address = \"10.1.0.1/24\", net = \"10.0.0.0/8\" }}\n{more}\n"
        )
    };
    for (text, wanted) in [
        (String::new(), "fleet.toml: error: has no unit"),
        (unit("kye = \"x\""), "fleet.toml:8:1: error: unknown key `kye`"),
        (unit("key = \"x\""), "fleet.toml:8:7: error: key: "),
        (unit("udp = 7.5"), "fleet.toml:8:7: error: `udp` is a text"),
        (unit("interface = \"a/b\""), "fleet.toml:8:13: error: interface: "),
        (unit("template = \"none.conf\""), "fleet.toml:8:12: error: none.conf cannot be read"),
        (unit("[vars]\nx = \"a#b\""), "fleet.toml:9:5: error: the value of `x` has a `#`"),
        (
            unit("[[unit]]\nname = \"a\""),
            "fleet.toml:9:8: error: two units are called a, the first in line 6",
        ),
        ("[[unit]]\nname = \"a b\"".into(), "fleet.toml:6:8: error: `a b` cannot be a name"),
        ("[[unit]]\nname = \"a\"".into(), "site.conf:3:13: error: no variable `address` (unit a)"),
        ("[[unit]]\nudp = \"10.0.0.1\"".into(), "fleet.toml:5:1: error: this unit has no name"),
        ("x = [".into(), "fleet.toml:5:"),
        (
            unit("")
                + "[[unit]]\nname = \"b\"\nvars = { address = \"10.1.0.1/16\", net = \"10.0.0.0/8\" }",
            "error: the tunnel address 10.1.0.1 is that of a already, in line 5",
        ),
        (
            "[[unit]]\nname = \"a\"\nvars = { address = \"10.1.0.256/24\", net = \"x\" }".into(),
            "site.conf:3:",
        ),
    ] {
        let mistakes = manifest(&text).mistakes();
        assert!(mistakes.iter().any(|mistake| mistake.contains(wanted)), "{wanted}: {mistakes:#?}");
    }
}

/// A manifest with its units in a table, and a site that needs `address` and `net`.
fn table(csv: &[u8]) -> Folder {
    let folder = manifest("");
    let text = std::fs::read_to_string(folder.path()).unwrap();
    std::fs::write(folder.path(), text.replace("version = 1", "version = 1\ncsv = \"u.csv\""))
        .unwrap();
    std::fs::write(folder.0.path().join("u.csv"), csv).unwrap();
    folder
}

#[test]
fn a_table_of_units_has_its_own_places() {
    let table = |csv: &str| table(csv.as_bytes()).mistakes();
    for (csv, wanted) in [
        ("name,address,net\na,10.1.0.1/24\n", "u.csv:2:1: error: 2 cells, and 3 columns"),
        ("name,name\na,b\n", "u.csv:1:6: error: the column `name` appears twice"),
        (
            "name,address,net\na,\"10.1.0.1/24,10.0.0.0/8\n",
            "u.csv:2:3: error: a `\"` that does not end its cell",
        ),
        (
            "name,udp,address,net\na,1.2.3.4,10.1.0.1/24,10.0.0.0/8\nb,1.2.3.4,10.1.0.2/24,10.0.0.0/8\n",
            "u.csv:3:3: error: the address 1.2.3.4:5182 is that of a already, in line 2",
        ),
        ("name,my var\na,x\n", "u.csv:1:6: error: `my var` names no column"),
        (
            "name,address,net,\na,10.1.0.1/24,10.0.0.0/8,\n",
            "u.csv:1:18: error: column 4 has no name",
        ),
        ("address,net\n10.1.0.1/24,10.0.0.0/8\n", "u.csv:1:1: error: no column is called `name`"),
        ("Name,address,net\na,10.1.0.1/24,x\n", "u.csv:1:1: error: `Name` is no key of units"),
        ("name,Serial-Number\na,8J\n", "the key is `serial_number`"),
        ("name;address;net\na;10.1.0.1/24;x\n", "save the table as CSV with commas"),
        ("name\taddress\na\tx\n", "save the table as CSV with commas"),
    ] {
        let mistakes = table(csv);
        assert!(mistakes.iter().any(|mistake| mistake.contains(wanted)), "{wanted}: {mistakes:#?}");
    }
}

#[test]
fn a_mistake_of_a_template_is_told_once_for_all_units() {
    let folder = manifest("[vars]\nnet = \"10.0.0.0/8\"\n");
    let text = std::fs::read_to_string(folder.path()).unwrap();
    std::fs::write(folder.path(), text.replace("version = 1", "version = 1\ncsv = \"u.csv\""))
        .unwrap();
    let units: String = (1..=50).map(|nth| format!("u{nth},10.1.0.{nth}/24\n")).collect();
    std::fs::write(folder.0.path().join("u.csv"), format!("name,address\n{units}")).unwrap();
    folder.load().unwrap();
    std::fs::write(folder.0.path().join("site.conf"), SITE.replace("AllowedIPs", "AllowedIp"))
        .unwrap();
    let mistakes = folder.mistakes();
    assert_eq!(mistakes.len(), 1, "{mistakes:#?}");
    assert!(
        mistakes[0].starts_with("site.conf:7:1: error: ")
            && mistakes[0].contains("(50 units, the first is u1)")
    );
}

#[test]
fn a_mistake_is_told_once_and_not_again_for_what_follows_from_it() {
    let units = "a,10.1.0.1/24,10.0.0.0/8\nb,10.1.0.2/24,10.0.0.0/8\n";
    let of = |csv: &str, from: &str, to: &str| {
        let folder = table(csv.as_bytes());
        let text = std::fs::read_to_string(folder.path()).unwrap();
        std::fs::write(folder.path(), text.replace(from, to)).unwrap();
        folder.mistakes()
    };
    for (csv, from, to, wanted) in [
        // The rows of a table whose first line is wrong.
        (format!("name;address;net\n{units}"), "", "", "u.csv:1:1: error: `name;address;net`"),
        // The defaults, once and not for each unit.
        (
            format!("name,address,net\n{units}"),
            "\"wg0\"",
            "\"a/b\"",
            "fleet.toml:5:13: error: interface",
        ),
        (
            format!("name,address,net\n{units}"),
            "template",
            "config = \"x\"\ntemplate",
            "fleet.toml:4:10: error: `template` and `config`",
        ),
        // What cannot be read as TOML says nothing of the rest.
        (
            format!("name,address,net\n{units}"),
            "[defaults]",
            "[defaults",
            "fleet.toml:3:10: error: ",
        ),
    ] {
        let mistakes = of(&csv, from, to);
        assert!(mistakes.len() == 1 && mistakes[0].starts_with(wanted), "{wanted}: {mistakes:#?}");
    }
}

#[test]
fn two_units_are_not_one_router_in_two_notations() {
    let rows = |columns: &str, one: &str, other: &str| {
        let csv = format!("name,net,{columns}\na,10.0.0.0/8,{one}\nb,10.0.0.0/8,{other}\n");
        table(csv.as_bytes()).mistakes()
    };
    let (one, other) = ("10.1.0.1/24", "10.1.0.2/24");
    for (column, first, second, wanted) in [
        (
            "udp",
            "10.0.0.7",
            "[::ffff:10.0.0.7]",
            "the address [::ffff:10.0.0.7]:5182 is that of a already",
        ),
        ("udp", "10.0.0.7:5182", "10.0.0.7", "the address 10.0.0.7:5182 is that of a already"),
        ("udp", "fd00::1", "FD00:0::1", "is that of a already"),
        ("udp", "shed.lan", "Shed.LAN.", "is that of a already"),
        ("mac", "94:83:C4:01:02:03", "9483c4010203", "is that of a already"),
        ("serial_number", "8J1", "8j1", "the serial number 8j1 is that of a already"),
        ("udp", "10.0.0.7", "10.0.0.300", "is not an IPv4 address"),
        ("udp", "10.0.0.7", "10.0.0.8:+9", "is not a port"),
    ] {
        let mistakes = rows(
            &format!("address,{column}"),
            &format!("{one},{first}"),
            &format!("{other},{second}"),
        );
        assert!(mistakes.len() == 1 && mistakes[0].contains(wanted), "{wanted}: {mistakes:#?}");
    }
    for (first, second) in [("10.1.0.1/24", "::ffff:10.1.0.1/128"), ("fd00::1/64", "FD00:0::1/128")]
    {
        let mistakes = rows("address", first, second);
        assert!(mistakes.len() == 1 && mistakes[0].contains("tunnel address"), "{mistakes:#?}");
    }
}

#[test]
fn a_table_of_any_editor_is_read() {
    let rows = [
        "name,address,net",
        "sch\u{fc}r,10.1.0.1/24,10.0.0.0/8",
        "",
        "\"b\" , \"10.1.0.2/24\",10.0.0.0/8",
    ];
    for end in ["\n", "\r\n", "\r"] {
        for front in ["", "\u{feff}"] {
            let csv = format!("{front}{}{end}", rows.join(end));
            let manifest = table(csv.as_bytes()).load().unwrap();
            let names: Vec<&str> = manifest.units.iter().map(|unit| &*unit.name).collect();
            assert_eq!(names, ["sch\u{fc}r", "b"], "{csv:?}");
        }
    }
    let mistakes = table(b"name,address,net\nsch\xfcr,10.1.0.1/24,10.0.0.0/8\n").mistakes();
    assert!(mistakes[0].contains("u.csv: error: is not UTF-8 text"), "{mistakes:#?}");
}

#[test]
fn a_variable_does_not_hide_a_key() {
    for text in [
        "[vars]\nname = \"x\"",
        "[vars]\nudp = \"x\"",
        "[[unit]]\nname = \"a\"\nvars = { name = \"b\" }",
    ] {
        let mistakes = manifest(text).mistakes();
        let wanted = "is a key of units, and cannot be a variable";
        assert!(mistakes.iter().any(|mistake| mistake.contains(wanted)), "{mistakes:#?}");
    }
    // A name that turns the line around it on a screen.
    let mistakes = manifest("[[unit]]\nname = \"a\u{202e}b\"").mistakes();
    assert!(mistakes[0].contains("`a\\u{202e}b` cannot be a name"), "{mistakes:#?}");
    let mistakes = manifest("[[unit]]\nname = \"a\"\nconfig = \"\"").mistakes();
    assert!(mistakes[0].contains("is an empty path"), "{mistakes:#?}");
}

#[test]
fn a_column_without_effect_is_told() {
    let table = |csv: &str, vars: &str| {
        Folder::new(&[
            (
                "fleet.toml",
                &format!(
                    "version = 1\ncsv = \"units.csv\"\n[defaults]\ntemplate = \"{{{{kind}}}}.conf\"\n\
                     interface = \"wg0\"\n[vars]\nkind = \"site\"\nnet = \"10.0.0.0/8\"\n{vars}"
                ),
            ),
            ("units.csv", csv),
            ("site.conf", SITE),
        ])
    };
    // A mistyped name, which leaves the default in its place.
    let folder = table("name,kind,address,nett,udp\na,site,10.1.0.1/24,10.2.0.0/16,\n", "");
    let warnings = folder.load().unwrap().warnings;
    let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
    assert!(
        warning.ends_with("units.csv:1:19: warning: no file of a unit uses the column `nett`"),
        "{warning}"
    );
    let folder = table("name,address,Confirm-Within,jobs,vars,version\n", "");
    let mistakes = folder.mistakes();
    assert_eq!(mistakes.len(), 3, "{mistakes:?}");
    assert!(mistakes[0].starts_with(
        "units.csv:1:14: error: `Confirm-Within` is no key of units in a table\n      = help: a column has another \
         name; `confirm_within` stands in [defaults]"
    ));
    assert!(mistakes[2].contains("`vars` is a table of a [[unit]]"), "{mistakes:?}");
    // Other keys of a manifest are names that a file may use.
    let folder = table("name,address,version,unit,csv\na,10.1.0.1/24,7,u,c\n", "");
    let site = SITE.replace("[Interface]\n", "# {{version}} {{unit}} {{csv}}\n[Interface]\n");
    std::fs::write(folder.0.path().join("site.conf"), site).unwrap();
    let warnings = folder.load().unwrap().warnings;
    assert!(warnings.is_empty(), "{warnings:?}");
    // What is in no table is not missed.
    let unit = "[[unit]]\nname = \"u\"\nvars = { address = \"10.1.0.9/24\" }\n";
    for (csv, message) in
        [("", "is empty"), ("\n \n", "is empty"), ("name,address\n", "has no unit")]
    {
        for unit in ["", unit] {
            let mistakes = table(csv, unit).mistakes();
            assert_eq!(mistakes.len(), 1, "{mistakes:?}");
            assert!(
                mistakes[0].starts_with(&format!("units.csv: error: the table {message}\n")),
                "{mistakes:?}"
            );
        }
    }
}

#[test]
fn what_the_check_of_one_file_takes_a_fleet_takes_and_a_mistake_has_the_same_place() {
    let folder = |addresses: &str, kind: &str| {
        Folder::new(&[
            (
                "fleet.toml",
                &format!("version = 1\n[[unit]]\nname = \"a\"\n{kind} = \"wg0.conf\"\n"),
            ),
            ("wg0.conf", &format!("[Interface]\nPrivateKey = generate\nAddress = {addresses}\n")),
        ])
    };
    // One address with two lengths.
    folder("10.7.0.9/24, 10.7.0.9/32", "config").load().unwrap();
    let mistakes = folder("10.7.0.9/24, 0.0.0.0/24", "config").mistakes();
    assert!(mistakes[0].starts_with("wg0.conf:3:24: error: "), "{mistakes:?}");
    let mistakes = folder("{{address}}", "config").mistakes();
    let help = "= help: a file with variables is a `template`, and not a `config`";
    assert!(mistakes[0].contains(help), "{mistakes:?}");
    let wrong = Folder::new(&[("fleet.toml", "version = 1\n[defaults]\njobs = 65536\n")]);
    assert!(wrong.mistakes()[0].ends_with("`jobs` is a number from 1 to 65535"));
    let wrong = manifest("[[unit]]\nname = \"a\"\nserial = \"/dev/ttyS1\"\n");
    assert!(wrong.mistakes()[0].contains("unknown key `serial`"));
}
