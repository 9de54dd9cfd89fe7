//! How large the agent is, by crate, and whether it keeps its budget.
//!
//! The budget is data (`board::TARGETS`). The bytes by crate are those of the functions and
//! constants that keep their names in a build with symbols; the file that counts is the one without.

use crate::{build, lab::Arch};
use anyhow::{Context, Result, ensure};
use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};
use std::{collections::BTreeMap, fs, process::ExitCode};

/// Print the size of the static agent by crate, and fail over its budget
#[derive(clap::Args)]
pub(crate) struct Args {
    /// For which architecture
    #[arg(long, value_enum, default_value_t = Arch::X86_64)]
    arch: Arch,
    /// How many functions to list
    #[arg(long, default_value_t = 15)]
    functions: usize,
}

impl Args {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let file = fs::read(build::agent_with_symbols(self.arch)?)?;
        let object = object::File::parse(&*file)?;
        println!("sections");
        for section in object.sections().filter(|section| section.address() > 0) {
            println!("{:>8}  {}", section.size(), section.name()?);
        }
        let mut crates: BTreeMap<String, u64> = BTreeMap::new();
        let mut functions = Vec::new();
        for symbol in object.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text) {
            let name = format!("{:#}", rustc_demangle::demangle(symbol.name()?));
            *crates.entry(crate_of(&name)).or_default() += symbol.size();
            functions.push((symbol.size(), name));
        }
        println!("code by crate");
        let mut crates: Vec<_> = crates.into_iter().collect();
        crates.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
        for (name, size) in crates {
            println!("{size:>8}  {name}");
        }
        println!("largest functions");
        functions.sort();
        for (size, name) in functions.iter().rev().take(self.functions) {
            println!("{size:>8}  {name}");
        }
        println!("{}", within_budget(self.arch)?);
        Ok(ExitCode::SUCCESS)
    }
}

/// The crate a function belongs to: that of the type it is a method of, or of the trait.
fn crate_of(name: &str) -> String {
    let word = name.trim_start_matches(['<', '&', '*', '[', '(']);
    let word = word.trim_start_matches("mut ").trim_start_matches("dyn ");
    match word.split_once("::") {
        Some((first, _)) if first.chars().all(|c| c.is_alphanumeric() || c == '_') => first.into(),
        Some(_) => "core".into(),
        None => "main and the C library".into(),
    }
}

/// Fails when the agent's file is over its budget.
pub(crate) fn within_budget(arch: Arch) -> Result<String> {
    let triple = build::triple(arch);
    let size = fs::metadata(build::agent(arch)?)?.len();
    let target = board::target(triple).with_context(|| format!("{triple} is not in board"))?;
    let Some(budget) = target.size_budget else {
        return Ok(format!("{size} bytes for {triple}, which has no budget"));
    };
    let budget = u64::from(budget);
    ensure!(size <= budget, "the agent has {size} bytes for {triple}, over its budget of {budget}");
    Ok(format!("{size} bytes for {triple}, of {budget}"))
}
