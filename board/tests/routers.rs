//! The tables of `docs/routers.md` are those of this crate. `UPDATE_ROUTERS=1 cargo test -p board` writes them again.

use std::{env, fmt::Write, fs, path::Path};

use board::{BOARDS, Serial, TARGETS, Target, Tried, VARIANTS};

const BEGIN: &str = "<!-- begin: from board/ -->\n";
const END: &str = "<!-- end: from board/ -->\n";

fn tried(target: &Target) -> &'static str {
    match target.tried {
        Tried::Machine => "virtual machine with a WireGuard kernel",
        Tried::Emulator => "qemu-user: starts, keys, files",
    }
}

/// The memory that a machine measured, and the budget.
fn memory(target: &Target) -> String {
    target.measured.map_or_else(
        || "not measured".to_owned(),
        |measured| format!("{measured} of {}", target.memory),
    )
}

/// The routers, in the order of their makers.
fn routers(page: &mut String) {
    let _ = writeln!(
        page,
        "| router | OpenWrt target | package | serial port | LED |\n|---|---|---|---|---|"
    );
    for board in BOARDS {
        let Some(openwrt) = board.openwrt else { continue };
        let Serial { device, baud } = board.serial;
        let led = board.led.map_or("none".to_owned(), |led| format!("`{led}`"));
        let _ = writeln!(
            page,
            "| {} | {} | {} | `{device}`, {baud} | {led} |",
            board.title, openwrt.platform, openwrt.package
        );
    }
}

/// The targets that routers have.
fn targets(page: &mut String) {
    let variants: Vec<&str> = VARIANTS.iter().map(|variant| variant.name).collect();
    let _ = writeln!(
        page,
        "\n| target | packages | tried on | most KiB in flash ({}) | KiB of memory, and most |\n|---|---|---|---|---|",
        variants.join(", ")
    );
    for target in TARGETS.iter().filter(|target| !target.packages.is_empty()) {
        let flash: Vec<String> =
            target.budgets.iter().map(|budget| (budget.flash / 1024).to_string()).collect();
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} | {} |",
            target.name,
            target.packages.join(", "),
            tried(target),
            flash.join(", "),
            memory(target)
        );
    }
}

#[test]
fn the_page_of_routers_has_these_tables() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/routers.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("no table begins");
    let (_, after) = rest.split_once(END).expect("no table ends");
    let mut wanted = format!("{before}{BEGIN}");
    routers(&mut wanted);
    targets(&mut wanted);
    wanted += END;
    wanted += after;
    if env::var_os("UPDATE_ROUTERS").is_some() {
        fs::write(&path, &wanted).unwrap();
        return;
    }
    assert!(
        page == wanted,
        "docs/routers.md: UPDATE_ROUTERS=1 cargo test -p board writes it again"
    );
}
