//! Pushes that leave an interface without peers or addresses: who is asked, and what each answer does.

use proto_core::protocol::config::Record;

use super::bench::{Bench, Typed};
use super::fake::{Manners, Udp};
use super::{OTHER, WG0};

const ONE_OF_EACH: &str = "\
[Interface]
PrivateKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=
Address = 10.0.0.1/24

[Peer]
PublicKey = xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=
AllowedIPs = 10.0.0.2/32
";

/// A router that runs one file, and a bench whose file has another content by now.
struct Site {
    bench: Bench,
    router: Udp,
}

impl Site {
    fn new(name: &str, runs: &str, file: &str) -> Self {
        let site = Self { bench: Bench::new(name, runs), router: Udp::new(Manners::default()) };
        site.bench.run(&["push", "wg0.conf", "--udp", &site.router.address]).ends(0);
        site.write(file);
        site
    }

    fn write(&self, file: &str) {
        std::fs::write(self.bench.dir().join("wg0.conf"), file).unwrap();
    }

    fn args<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        [&["push", "wg0.conf", "--udp", &self.router.address], more].concat()
    }

    fn typed(&self, more: &[&str]) -> Typed {
        Typed::new(&self.bench, &self.args(more))
    }

    /// How many pushes the router executed, and what it runs.
    fn state(&self) -> (u32, Vec<Record>) {
        self.router.with(|seen| (seen.commits, seen.running.clone()))
    }
}

fn without_peers(file: &str) -> String {
    file.split_once("\n[Peer]").unwrap().0.into()
}

fn without_addresses(file: &str) -> String {
    let lines = file.split_inclusive('\n');
    lines.filter(|line| !line.starts_with("Address")).collect()
}

#[test]
fn any_answer_but_yes_leaves_the_router_as_it_was() {
    for (nth, (runs, file, what)) in [
        (WG0, without_peers(WG0), "all 2 peers"),
        (WG0, without_addresses(WG0), "all 2 addresses"),
        (WG0, without_addresses(&without_peers(WG0)), "all 2 peers and all 2 addresses"),
        (ONE_OF_EACH, without_peers(ONE_OF_EACH), "the only peer"),
        (ONE_OF_EACH, without_addresses(ONE_OF_EACH), "the only address"),
    ]
    .into_iter()
    .enumerate()
    {
        let site = Site::new(&format!("empties-{nth}"), runs, &file);
        let question = format!("This removes {what} from wg0. Push anyway? [y/N] ");
        let before = site.state();
        // The end of the input is no answer either.
        let answers = ["n\n", "\n", "no, yes\n", "\x04"];
        for answer in if nth == 0 { &answers[..] } else { &answers[..1] } {
            let mut typed = site.typed(&[]);
            typed.sees(&question);
            assert_eq!(site.state(), before);
            typed.types(answer);
            assert_eq!(typed.ends(), 130, "{answer:?}");
            assert!(typed.rest().contains("nothing was changed"), "{:?}", typed.rest());
            assert!(typed.rest().contains("--yes pushes without asking"), "{:?}", typed.rest());
            assert_eq!(site.state(), before, "{answer:?}");
            let aborted = site.router.with(|seen| seen.aborted);
            assert!(aborted, "the stage would keep the next push out");
        }
        let mut typed = site.typed(&[]);
        typed.sees(&question);
        typed.types(if nth == 0 { "YES\n" } else { "y\n" });
        assert_eq!(typed.ends(), 0, "{:?}", typed.rest());
        assert!(typed.rest().contains("applied to wg0 on OpenWrt"), "{:?}", typed.rest());
        assert_eq!(site.state().0, before.0 + 1);
    }
}

#[test]
fn ctrl_c_is_no_answer() {
    let site = Site::new("empties-ctrl-c", WG0, &without_peers(WG0));
    let before = site.state();
    let mut typed = site.typed(&[]);
    typed.sees("Push anyway? [y/N] ");
    typed.interrupt();
    assert_eq!(typed.ends(), 130);
    assert!(typed.rest().contains("nothing was changed"), "{:?}", typed.rest());
    assert_eq!(site.state(), before);
}

#[test]
fn the_question_has_a_line_of_its_own() {
    let site = Site::new("empties-line", WG0, &without_peers(WG0));
    let mut typed = site.typed(&[]);
    // What is in front of it is gone before it comes.
    typed.sees("\r\x1b[2KThis removes all 2 peers");
    typed.types("n\n");
    assert_eq!(typed.ends(), 130);
}

#[test]
fn with_yes_with_json_and_without_a_terminal_nobody_is_asked() {
    for (name, more) in [("yes", "--yes"), ("y", "-y"), ("json", "--json")] {
        let site = Site::new(&format!("empties-{name}"), WG0, &without_peers(WG0));
        let mut typed = site.typed(&[more]);
        assert_eq!(typed.ends(), 0, "{:?}", typed.rest());
        assert!(!typed.rest().contains("[y/N]"), "{:?}", typed.rest());
        assert_eq!(site.state().0, 2);
    }
    for more in [&[][..], &["--yes"]] {
        let site = Site::new("empties-no-terminal", WG0, &without_peers(WG0));
        let ran = site.bench.run(&site.args(more));
        ran.ends(0).says("2 peers removed");
        assert!(!ran.err.contains("[y/N]") && !ran.out.contains("[y/N]"), "{ran:?}");
        assert_eq!(site.state().0, 2);
    }
}

#[test]
fn a_push_that_removes_some_or_has_nothing_to_remove_asks_nothing() {
    let one_peer = WG0.split_once("\n[Peer]\nPublicKey = TrMv").unwrap().0;
    assert!(WG0.contains(OTHER) && !one_peer.contains(OTHER));
    let site = Site::new("empties-some", WG0, one_peer);
    let one_address = one_peer.replace(", fd00::1/64", "");
    let bare = without_addresses(&without_peers(WG0));
    for (commits, file) in [(2, one_peer), (3, &*one_address)] {
        site.write(file);
        let mut typed = site.typed(&[]);
        assert_eq!(typed.ends(), 0, "{:?}", typed.rest());
        assert!(!typed.rest().contains("[y/N]"), "{:?}", typed.rest());
        assert_eq!(site.state().0, commits);
    }
    site.write(&bare);
    site.bench.run(&site.args(&["--yes"])).ends(0);
    // The interface has neither peers nor addresses by now.
    let mut typed = site.typed(&[]);
    assert_eq!(typed.ends(), 0, "{:?}", typed.rest());
    assert!(!typed.rest().contains("[y/N]"), "{:?}", typed.rest());
}
