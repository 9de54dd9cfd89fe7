//! Properties of the agent's file and its source: its size, no allocator, and `unsafe` in one
//! module.

use super::lanes::Part;
use anyhow::{Result, bail, ensure};
use board::{Target, VARIANTS, Variant};
use lab::Arch;
use object::{Object, ObjectSymbol};
use std::{fs, path::Path};
use xtask::build;
use xtask::size;

type Test = fn() -> Result<String>;

const TESTS: &[(&str, Test)] = &[
    ("postwired keeps its size budget", || size::within_budget(Arch::X86_64)),
    ("sessions keep theirs", || size::session_within_budget(Arch::X86_64)),
    ("postwired has no allocator and no resolver of the C library", no_allocator),
    ("postwired is static", is_static),
    ("unsafe stays in one module", one_unsafe_module),
    ("board says which machines the agent is tried on", super::machines::as_the_board_says),
    ("each of those machines has its turn", super::machines::each_in_turn),
    ("wg and wg-quick leave no key in memory", super::memory::keys_are_wiped_at_the_end),
];

pub(super) fn part() -> Part {
    Part::new("the agent's file", TESTS.iter().map(|(test, _)| (*test).to_owned()), |tally| {
        TESTS.iter().for_each(|(test, run)| tally.test(test, run));
        Ok(())
    })
    .ignored()
}

/// Targets that are built in all variants in every run, one for each linker and byte order. A build
/// takes 20 s of both processors; `cargo xtask size --budgets` and `cargo xtask release` build all
/// variants for all targets.
const EACH_VARIANT: &[&str] = &["x86_64", "mips_24kc", "mipsel_24kc"];

/// Every target for routers, some of them in every variant: the file is built, keeps its budgets
/// and runs.
pub(super) fn targets() -> Part {
    let pairs = || build::routers().flat_map(|target| VARIANTS.iter().map(move |it| (target, it)));
    let all = move || {
        pairs().filter(|(target, variant)| {
            *variant == build::full() || EACH_VARIANT.contains(&target.name)
        })
    };
    let name = |target: &Target, variant: &Variant| {
        format!(
            "postwired for {}, variant {}, keeps its budget and runs",
            target.name, variant.name
        )
    };
    let names = all().map(|(target, variant)| name(target, variant));
    Part::new("the targets", names, move |tally| {
        for (target, variant) in all() {
            tally.test(&name(target, variant), || {
                let shown = size::within(target, variant)?;
                let agent = build::built(target, variant)?;
                build::smoke(target, &agent, variant.features.contains(&"wg"))?;
                Ok(shown)
            });
        }
        Ok(())
    })
    .ignored()
}

/// The other sets of features, each within its budget. Not in every run, because six builds take two minutes of both
/// processors: with `--arch x86_64` and `--all-arch`.
pub(super) fn other_sets() -> Part {
    let name = |set: &Variant| format!("postwired with the features {} keeps its budget", set.name);
    let names = size::other_sets().map(|(_, set)| name(set));
    Part::new("the other sets of features", names, move |tally| {
        for (target, set) in size::other_sets() {
            tally.test(&name(set), || size::within(target, set));
        }
        Ok(())
    })
    .ignored()
}

/// Symbols of the C library's allocator, and of its resolver, which would need one.
const ALLOCATORS: &[&str] = &[
    "getaddrinfo",
    "malloc",
    "calloc",
    "realloc",
    "free",
    "aligned_alloc",
    "memalign",
    "posix_memalign",
    "sbrk",
    "brk",
    "__libc_malloc",
    "__expand_heap",
];

fn no_allocator() -> Result<String> {
    let file = fs::read(build::agent_with_symbols(Arch::X86_64)?)?;
    let names = symbols(&file)?;
    // A file without symbols would always pass.
    ensure!(names.iter().any(|name| name == "main"), "the file has no symbol called main");
    for name in &names {
        let rust = name.contains("__rust_alloc") || name.contains("__rdl_alloc");
        ensure!(!rust && !ALLOCATORS.contains(&name.as_str()), "the agent has {name}");
    }
    // The same search must find an allocator where there is one.
    let host = fs::read(std::env::current_exe()?)?;
    let found = symbols(&host)?.iter().any(|name| name.contains("__rust_alloc"));
    ensure!(found, "no allocator is found in xtask either, and there is one");
    Ok(format!("{} symbols, no allocator and no resolver of the C library", names.len()))
}

fn symbols(file: &[u8]) -> Result<Vec<String>> {
    let file = object::File::parse(file)?;
    Ok(file.symbols().filter_map(|symbol| Some(symbol.name().ok()?.to_owned())).collect())
}

fn is_static() -> Result<String> {
    let file = fs::read(build::agent(Arch::X86_64)?)?;
    let object = object::elf::FileHeader64::<object::Endianness>::parse(&*file)?;
    use object::read::elf::{FileHeader, ProgramHeader};
    let endian = object.endian()?;
    for header in object.program_headers(endian, &*file)? {
        if header.p_type(endian) == object::elf::PT_INTERP {
            bail!("the agent asks for a dynamic linker");
        }
    }
    Ok(String::new())
}

/// The only folder of the agent where `unsafe` is allowed.
const UNSAFE: &str = "agent/src/linux/sys";

fn one_unsafe_module() -> Result<String> {
    let mut files = 0;
    for folder in ["agent/src", "proto-core/src", "board/src"] {
        let mut folders = vec![build::workspace().join(folder)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    files += 1;
                    look(&path)?;
                }
            }
        }
    }
    Ok(format!("{files} files, and `unsafe` in {UNSAFE}"))
}

fn look(path: &Path) -> Result<()> {
    if path.parent().is_some_and(|folder| folder.ends_with(UNSAFE)) {
        return Ok(());
    }
    for (number, line) in fs::read_to_string(path)?.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        // `unsafe_code` is the lint that forbids it.
        let words = code.split(|c: char| !c.is_alphanumeric() && c != '_');
        if words.into_iter().any(|word| word == "unsafe") {
            bail!("{}:{}: `unsafe` outside {UNSAFE}", path.display(), number + 1);
        }
    }
    Ok(())
}
