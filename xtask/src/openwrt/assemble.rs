//! Makes packages from recipes, with the fields, files and scripts that OpenWrt's own build writes.

use super::{
    Which,
    recipes::{RECIPES, Recipe},
};
use crate::build;
use anyhow::{Context, Result, bail, ensure};
use board::{TARGETS, Target};
use pack::{
    apk::{self, Compression},
    feed::Built,
    ipk,
    tree::{Node, Tree},
};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, btree_map::Entry},
    fs,
    path::Path,
};

/// The release number of the package for one version of the agent.
const RELEASE: u32 = 1;
/// The time of all files in packages, unless `SOURCE_DATE_EPOCH` is set: packages of the same
/// sources are the same bytes on every machine.
const MTIME: u64 = 1_764_374_400;

/// The format of packages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Format {
    /// For opkg: OpenWrt up to 24.10.
    Ipk,
    /// For apk: OpenWrt from 25.12 on.
    Apk,
    /// Both.
    All,
}

impl Format {
    /// The selected formats.
    #[must_use]
    pub fn each(self) -> &'static [Self] {
        match self {
            Self::Ipk => &[Self::Ipk],
            Self::Apk => &[Self::Apk],
            Self::All => &[Self::Ipk, Self::Apk],
        }
    }
}

/// The version of packages.
#[must_use]
pub fn version() -> String {
    format!("{}-r{RELEASE}", env!("CARGO_PKG_VERSION"))
}

/// The time of all files, in seconds since 1970.
///
/// # Errors
/// A `SOURCE_DATE_EPOCH` that is no number.
pub fn mtime() -> Result<u64> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => {
            text.parse().with_context(|| format!("SOURCE_DATE_EPOCH={text} is not a number"))
        }
        Err(_) => Ok(MTIME),
    }
}

/// The architectures of OpenWrt for a name, each with its target.
///
/// # Errors
/// A name that is neither a target nor an architecture.
pub fn arches(name: &str) -> Result<Vec<(&'static str, &'static Target)>> {
    let of = |target: &'static Target| target.packages.iter().map(move |arch| (*arch, target));
    let all = TARGETS.iter().flat_map(of);
    let found: Vec<_> = match name {
        "all" => all.collect(),
        name => all.filter(|(arch, target)| *arch == name || target.name == name).collect(),
    };
    if found.is_empty() {
        let targets: Vec<&str> = build::routers().map(|target| target.name).collect();
        let arches: Vec<&str> =
            TARGETS.iter().flat_map(|target| target.packages).copied().collect();
        bail!(
            "unknown architecture `{name}`: write all, a target ({}) or one of OpenWrt's ({})",
            targets.join(", "),
            arches.join(", ")
        );
    }
    Ok(found)
}

/// Makes packages, and builds the agents for them.
///
/// # Errors
/// An unknown name, a build that fails, and a missing file.
pub fn make(which: &Which) -> Result<Vec<Built>> {
    let variants: Vec<&str> =
        build::variants(&which.variant)?.iter().map(|variant| variant.name).collect();
    let mut all = Vec::new();
    // One file is used for several architectures.
    let mut agents = BTreeMap::<_, Vec<u8>>::new();
    for (arch, target) in arches(&which.arch)? {
        for recipe in RECIPES {
            let agent: Option<&[u8]> = match recipe.variant {
                Some(name) if !variants.contains(&name) => continue,
                Some(name) => {
                    let variant = board::variant(name).context("a recipe names no variant")?;
                    Some(match agents.entry((target.name, name)) {
                        Entry::Occupied(known) => known.into_mut(),
                        Entry::Vacant(new) => new.insert(fs::read(build::built(target, variant)?)?),
                    })
                }
                None => None,
            };
            for format in which.format.each() {
                let bytes = match format {
                    Format::Ipk => ipk(recipe, arch, agent)?.write()?,
                    _ => apk(recipe, arch, agent)?.write(Compression::Deflate)?,
                };
                let name = file_name(recipe, arch, *format);
                all.push(Built { arch: arch.to_owned(), name, bytes });
            }
        }
    }
    Ok(all)
}

/// The file name of a package, as OpenWrt's own build names it.
#[must_use]
pub fn file_name(recipe: &Recipe, arch: &str, format: Format) -> String {
    let version = version();
    match format {
        Format::Ipk if recipe.variant.is_none() => format!("{}_{version}_all.ipk", recipe.name),
        Format::Ipk => format!("{}_{version}_{arch}.ipk", recipe.name),
        _ => format!("{}-{version}.apk", recipe.name),
    }
}

/// The files of a recipe.
fn tree(recipe: &Recipe, agent: Option<&[u8]>) -> Result<Tree> {
    let folder = build::workspace().join("integrations/openwrt");
    let mut tree = Tree::default();
    for file in recipe.files {
        let path = folder.join(file.from);
        let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        tree.file(file.to, file.mode, bytes)?;
    }
    ensure!(agent.is_some() == recipe.variant.is_some(), "{} and its program", recipe.name);
    if let Some(agent) = agent {
        tree.file("usr/sbin/postwired", 0o755, agent)?;
    }
    for conffile in recipe.conffiles {
        let known = tree.get(conffile.trim_start_matches('/'));
        ensure!(known.is_some(), "{}: no file {conffile}", recipe.name);
    }
    Ok(tree)
}

const LICENSE: &str = "MIT OR Apache-2.0";
/// Who maintains the packages.
pub(crate) const MAINTAINER: &str = "The Postwire developers";
/// The scripts end here where there is nothing to do: in an image that is being built.
const NO_SCRIPT: &str = "[ \"${IPKG_NO_SCRIPT}\" = \"1\" ] && exit 0\n";
const FUNCTIONS: &str =
    "[ -s ${IPKG_INSTROOT}/lib/functions.sh ] || exit 0\n. ${IPKG_INSTROOT}/lib/functions.sh\n";

/// The commands of a recipe before its removal, in a form that can be sourced by another script.
fn before_removal(recipe: &Recipe) -> String {
    if recipe.before_removal.is_empty() {
        return String::new();
    }
    format!(
        "if [ -z \"${{IPKG_INSTROOT}}\" ] && [ \"$PKG_UPGRADE\" != 1 ]; then\n\t{}\nfi\n",
        recipe.before_removal
    )
}

/// The ipk of a recipe.
///
/// # Errors
/// A missing file, or a path that is too long.
pub fn ipk(recipe: &Recipe, arch: &str, agent: Option<&[u8]>) -> Result<ipk::Package> {
    let mtime = mtime()?;
    let mut control = String::new();
    let arch = if recipe.variant.is_some() { arch } else { "all" };
    for (field, value) in [
        ("Package", recipe.name.to_owned()),
        ("Version", version()),
        ("Depends", recipe.depends.join(", ")),
        ("Conflicts", recipe.conflicts.join(", ")),
        ("Provides", recipe.provides.join(", ")),
        ("Alternatives", recipe.alternatives.join(", ")),
        ("SourceName", "postwired".to_owned()),
        ("License", LICENSE.to_owned()),
        ("LicenseFiles", "LICENSE-MIT LICENSE-APACHE".to_owned()),
        ("Section", "net".to_owned()),
        ("SourceDateEpoch", mtime.to_string()),
        ("Maintainer", MAINTAINER.to_owned()),
        ("Architecture", arch.to_owned()),
        // The writer fills it in.
        ("Installed-Size", "0".to_owned()),
    ] {
        if !value.is_empty() {
            control += &format!("{field}: {value}\n");
        }
    }
    control += &format!("Description:  {}\n", recipe.description.join("\n "));
    let mut extra = Tree::default();
    let postinst = format!("#!/bin/sh\n{NO_SCRIPT}{FUNCTIONS}default_postinst $0 $@\n");
    extra.file("postinst", 0o755, postinst)?;
    extra.file("prerm", 0o755, format!("#!/bin/sh\n{FUNCTIONS}default_prerm $0 $@\n"))?;
    let before = before_removal(recipe);
    if !before.is_empty() {
        // `default_prerm` reads it.
        extra.file("prerm-pkg", 0o755, format!("#!/bin/sh\n{before}"))?;
    }
    if !recipe.conffiles.is_empty() {
        extra.file("conffiles", 0o644, lines(recipe.conffiles))?;
    }
    Ok(ipk::Package { control, extra, tree: tree(recipe, agent)?, mtime })
}

fn lines(all: &[&str]) -> String {
    all.iter().map(|line| format!("{line}\n")).collect()
}

/// The apk of a recipe.
///
/// # Errors
/// A missing file, or a field that apk does not accept.
pub fn apk(recipe: &Recipe, arch: &str, agent: Option<&[u8]>) -> Result<apk::Package> {
    let mut tree = tree(recipe, agent)?;
    let about = |what: &str| format!("lib/apk/packages/{}.{what}", recipe.name);
    if !recipe.alternatives.is_empty() {
        tree.file(&about("alternatives"), 0o644, recipe.alternatives.join(" ") + "\n")?;
    }
    // As in OpenWrt's build: without this list and the files after it. `default_postinst` finds the
    // init script by this list.
    let mut list = String::new();
    for (path, entry) in tree.iter() {
        if entry.node != Node::Dir {
            list += &format!("/{path}\n");
        }
    }
    let mut digests = String::new();
    for conffile in recipe.conffiles {
        if let Some(Node::File(bytes)) =
            tree.get(conffile.trim_start_matches('/')).map(|entry| &entry.node)
        {
            let digest: String =
                Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            digests += &format!("{conffile} {digest}\n");
        }
    }
    tree.file(&about("list"), 0o644, list)?;
    if !recipe.conffiles.is_empty() {
        tree.file(&about("conffiles"), 0o644, lines(recipe.conffiles))?;
        tree.file(&about("conffiles_static"), 0o644, digests)?;
    }

    let name = recipe.name;
    let names = format!("export root=\"${{IPKG_INSTROOT}}\"\nexport pkgname=\"{name}\"\n");
    let install = format!("{NO_SCRIPT}{FUNCTIONS}{names}add_group_and_user\ndefault_postinst\n");
    let before = before_removal(recipe);
    let scripts = [
        ("post-install", format!("#!/bin/sh\n{install}")),
        ("post-upgrade", format!("#!/bin/sh\nexport PKG_UPGRADE=1\n{install}")),
        ("pre-deinstall", format!("#!/bin/sh\n{FUNCTIONS}{names}{before}default_prerm\n")),
    ];
    let conflicts = recipe.conflicts.iter().map(|name| format!("!{name}"));
    let depends = recipe.depends.iter().map(|name| (*name).to_owned()).chain(conflicts);
    Ok(apk::Package {
        info: apk::Info {
            name: name.to_owned(),
            version: version(),
            description: recipe.description.first().copied().unwrap_or_default().to_owned(),
            arch: if recipe.variant.is_some() { arch } else { "noarch" }.to_owned(),
            license: LICENSE.to_owned(),
            origin: "postwired".to_owned(),
            maintainer: MAINTAINER.to_owned(),
            url: String::new(),
            depends: depends.collect(),
            // A versioned provide makes the name exclusive to the package.
            provides: recipe.provides.iter().map(|name| format!("{name}={}", version())).collect(),
        },
        tree,
        scripts: scripts
            .into_iter()
            .map(|(name, text)| (name.to_owned(), text.into_bytes()))
            .collect(),
        mtime: mtime()?,
    })
}

/// Writes the files of a tree under a folder, as an installation would.
///
/// # Errors
/// A file that cannot be written.
pub fn unpack(tree: &Tree, root: &Path) -> Result<()> {
    use std::os::unix::fs::{PermissionsExt, symlink};
    for (path, entry) in tree.iter() {
        let path = root.join(path);
        match &entry.node {
            Node::Dir => fs::create_dir_all(&path)?,
            Node::Link(target) => symlink(target, &path)?,
            Node::File(bytes) => fs::write(&path, bytes)?,
        }
        if !matches!(entry.node, Node::Link(_)) {
            fs::set_permissions(&path, fs::Permissions::from_mode(entry.mode))?;
        }
    }
    Ok(())
}
