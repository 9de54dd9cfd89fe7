//! Packages and feeds, and what nfpm, signify and openssl make and say of them.

use super::{fresh, said};
use anyhow::{Context, Result, ensure};
use pack::{
    apk::{self, Compression},
    feed::{Built, Keys, others},
    ipk,
    tree::{Node, Tree},
};
use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path, process::Command};
use xtask::{
    Arch, build,
    openwrt::{
        self, Format, feed,
        recipes::{RECIPES, Recipe},
    },
    packages, python,
};

/// The architecture that the packages here are for: the files are read, and not run on a router.
const ARCH: &str = "x86_64";

/// The agent of a recipe.
pub(super) fn agent(recipe: &Recipe) -> Result<Option<Vec<u8>>> {
    let Some(name) = recipe.variant else { return Ok(None) };
    let target = build::target_of(Arch::X86_64)?;
    let variant = board::variant(name).context("a recipe names no variant")?;
    Ok(Some(fs::read(build::built(target, variant)?)?))
}

pub(super) fn read_back() -> Result<String> {
    let mut count = 0;
    for recipe in RECIPES {
        let agent = agent(recipe)?;
        let ipk = openwrt::ipk(recipe, ARCH, agent.as_deref())?;
        let bytes = ipk.write()?;
        ensure!(bytes == ipk.write()?, "{}: an ipk differs from itself", recipe.name);
        let read = ipk::Package::read(&bytes)?;
        ensure!(read.tree == ipk.tree && read.extra == ipk.extra, "{}: ipk", recipe.name);
        let apk = openwrt::apk(recipe, ARCH, agent.as_deref())?;
        for compression in [Compression::None, Compression::Deflate] {
            let bytes = apk.write(compression)?;
            ensure!(
                bytes == apk.write(compression)?,
                "{}: an apk differs from itself",
                recipe.name
            );
            let mut wanted = apk.clone();
            wanted.info.depends.sort_by_key(|name| name.trim_start_matches('!').to_owned());
            ensure!(apk::Package::read(&bytes)? == wanted, "{}: apk", recipe.name);
        }
        count += 3;
    }
    Ok(format!("{count} files"))
}

/// Paths of a tree that are no directories.
fn files(tree: &Tree) -> Vec<&str> {
    tree.iter().filter(|(_, entry)| entry.node != Node::Dir).map(|(path, _)| path).collect()
}

pub(super) fn listed() -> Result<String> {
    let mut shown = String::new();
    for recipe in RECIPES {
        let agent = agent(recipe)?;
        let ipk = ipk::Package::read(&openwrt::ipk(recipe, ARCH, agent.as_deref())?.write()?)?;
        let apk = openwrt::apk(recipe, ARCH, agent.as_deref())?.write(Compression::Deflate)?;
        let apk = apk::Package::read(&apk)?;
        let _ = write!(shown, "\n{}, ipk:\n{}", recipe.name, ipk.tree.list());
        let _ = write!(shown, "{}, apk:\n{}", recipe.name, apk.tree.list());

        // What opkg keeps beside the files apk has among them.
        let about = format!("lib/apk/packages/{}.", recipe.name);
        let (own, of_apk): (Vec<_>, Vec<_>) =
            files(&apk.tree).into_iter().partition(|path| !path.starts_with(&about));
        ensure!(own == files(&ipk.tree), "{}: the formats have other files", recipe.name);
        let text = |path: &str| match apk.tree.get(path).map(|entry| &entry.node) {
            Some(Node::File(bytes)) => Ok(String::from_utf8(bytes.clone())?),
            _ => anyhow::bail!("{}: no {path}", recipe.name),
        };
        let listed = text(&format!("{about}list"))?;
        let alternatives = format!("{about}alternatives");
        let mut paths: Vec<String> = own.iter().map(|path| format!("/{path}")).collect();
        if of_apk.contains(&alternatives.as_str()) {
            paths.push(format!("/{alternatives}"));
        }
        paths.sort();
        ensure!(
            listed.lines().eq(paths.iter().map(String::as_str)),
            "{}.list:\n{listed}",
            recipe.name
        );
        for conffile in recipe.conffiles {
            ensure!(text(&format!("{about}conffiles"))?.contains(conffile), "{conffile}");
            let fixed = text(&format!("{about}conffiles_static"))?;
            let digest = sha256(apk.tree.get(&conffile[1..]).context("no conffile")?)?;
            ensure!(fixed == format!("{conffile} {digest}\n"), "conffiles_static: {fixed}");
        }
        // An upgrade of the firmware keeps what these lines name: without them, the router has no owner afterwards.
        const KEPT: &str = "lib/upgrade/keep.d/postwired";
        if recipe.variant.is_some() {
            let kept = text(KEPT)?;
            ensure!(kept == "/etc/postwired/\n", "{}: {KEPT} has {kept:?}", recipe.name);
        }
        // Each interface of the package is one that a router finds.
        for (path, entry) in ipk.tree.iter() {
            let program = path.starts_with("usr/sbin/") || path.starts_with("etc/init.d/");
            ensure!(!program || entry.mode == 0o755, "{path} cannot be run");
        }
    }
    Ok(shown)
}

/// The digest as sha256sum prints it.
fn sha256(entry: &pack::tree::Entry) -> Result<String> {
    let Node::File(bytes) = &entry.node else { anyhow::bail!("no file") };
    let path = fresh("sha256")?.join("file");
    fs::write(&path, bytes)?;
    let (_, out, _) = said(Command::new("sha256sum").arg(&path))?;
    Ok(out.split_whitespace().next().context("sha256sum said nothing")?.to_owned())
}

/// The fields of a control file.
fn fields(control: &str) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::<String, String>::new();
    let mut last = String::new();
    for line in control.lines() {
        match line.split_once(": ") {
            Some((name, value)) if !line.starts_with(' ') => {
                last = name.to_owned();
                fields.insert(last.clone(), value.trim().to_owned());
            }
            _ => {
                let value = fields.entry(last.clone()).or_default();
                *value += "\n";
                *value += line.trim();
            }
        }
    }
    fields
}

/// Fields that OpenWrt's build writes and nfpm has no word for.
const OURS: [&str; 4] = ["SourceName", "LicenseFiles", "SourceDateEpoch", "Installed-Size"];
/// Fields that nfpm writes, and OpenWrt's build does not.
const NFPMS: [&str; 3] = ["Priority", "Installed-Size", "Auto-Installed"];

pub(super) fn nfpm() -> Result<String> {
    let program = python::environment("nfpm", "nfpm", "2.48.0")?.join("bin/nfpm");
    let mut differences = Vec::new();
    for recipe in RECIPES {
        let folder = fresh(&format!("nfpm-{}", recipe.name))?;
        let ours = openwrt::ipk(recipe, ARCH, agent(recipe)?.as_deref())?;
        let ours = ipk::Package::read(&ours.write()?)?;
        let theirs = folder.join("theirs.ipk");
        fs::write(folder.join("nfpm.yaml"), description(recipe, &ours, &folder)?)?;
        let mut command = Command::new(&program);
        command.args(["package", "--packager", "ipk", "--config", "nfpm.yaml", "--target"]);
        let (code, out, err) = said(command.arg(&theirs).current_dir(&folder))?;
        ensure!(code == 0, "nfpm: {out}{err}");
        let theirs = ipk::Package::read(&fs::read(&theirs)?)?;

        let known = |tree: &Tree| -> Vec<String> {
            tree.iter().map(|(path, entry)| format!("{path} {entry:?}")).collect()
        };
        let (a, b) = (known(&ours.tree), known(&theirs.tree));
        let first = a.iter().zip(&b).find(|(a, b)| a != b);
        ensure!(a == b, "{}: other files; the first: {first:.300?}", recipe.name);
        for (path, entry) in ours.extra.iter() {
            if path == "prerm-pkg" {
                differences.push(format!("{}: prerm-pkg is OpenWrt's alone", recipe.name));
                continue;
            }
            ensure!(theirs.extra.get(path) == Some(entry), "{}: {path} differs", recipe.name);
        }
        for (path, _) in theirs.extra.iter().filter(|(path, _)| ours.extra.get(path).is_none()) {
            let named = path == "conffiles" && recipe.conffiles.is_empty();
            ensure!(named, "{}: nfpm has another script: {path}", recipe.name);
            differences.push(format!("{}: nfpm has a conffiles without a line", recipe.name));
        }
        let (a, b) = (fields(&ours.control), fields(&theirs.control));
        for name in a.keys().chain(b.keys()) {
            let (one, other) = (a.get(name), b.get(name));
            let known = (other.is_none() && OURS.contains(&name.as_str()))
                || (one.is_none() && NFPMS.contains(&name.as_str()))
                || (name == "Installed-Size");
            if one != other {
                ensure!(known, "{}: {name} is {one:?} here and {other:?} in nfpm's", recipe.name);
                differences.push(format!("{}: {name}: {one:?}, nfpm's {other:?}", recipe.name));
            }
        }
    }
    differences.dedup();
    Ok(format!("\n{}", differences.join("\n")))
}

/// What nfpm is told of a package.
fn description(recipe: &Recipe, package: &ipk::Package, folder: &Path) -> Result<String> {
    let control = fields(&package.control);
    let mut text = String::new();
    let of = |name: &str| control.get(name).cloned().unwrap_or_default();
    let _ =
        writeln!(text, "name: {}\narch: {}\nplatform: linux", of("Package"), of("Architecture"));
    let _ = writeln!(text, "version_schema: none\nversion: {}", of("Version"));
    let _ = writeln!(
        text,
        "section: {}\nlicense: {}\nmaintainer: {}",
        of("Section"),
        of("License"),
        of("Maintainer")
    );
    let _ = writeln!(text, "mtime: \"2025-11-29T00:00:00Z\"\ndescription: |");
    for line in of("Description").lines() {
        let _ = writeln!(text, "  {line}");
    }
    for (name, all) in [
        ("depends", recipe.depends),
        ("conflicts", recipe.conflicts),
        ("provides", recipe.provides),
    ] {
        let _ = writeln!(text, "{name}: [{}]", all.join(", "));
    }
    let _ = writeln!(text, "contents:");
    for (number, (path, entry)) in package.tree.iter().enumerate() {
        let (kind, source) = match &entry.node {
            Node::Dir => ("dir", String::new()),
            Node::Link(to) => ("symlink", to.clone()),
            Node::File(bytes) => {
                fs::write(folder.join(number.to_string()), bytes)?;
                let conffile = recipe.conffiles.contains(&format!("/{path}").as_str());
                (if conffile { "config" } else { "file" }, number.to_string())
            }
        };
        let _ = writeln!(text, "  - type: {kind}\n    dst: /{path}");
        if !source.is_empty() {
            let _ = writeln!(text, "    src: {source}");
        }
        let _ = writeln!(
            text,
            "    file_info: {{ mode: 0{:o}, owner: root, group: root, mtime: \"2025-11-29T00:00:00Z\" }}",
            entry.mode
        );
    }
    let _ = writeln!(text, "scripts:");
    for (name, script) in [("postinstall", "postinst"), ("preremove", "prerm")] {
        if let Some(Node::File(bytes)) = package.extra.get(script).map(|entry| &entry.node) {
            fs::write(folder.join(script), bytes)?;
            let _ = writeln!(text, "  {name}: {script}");
        }
    }
    if !recipe.alternatives.is_empty() {
        let _ = writeln!(text, "ipk:\n  alternatives:");
        for alternative in recipe.alternatives {
            let parts: Vec<&str> = alternative.split(':').collect();
            let [priority, link, target] = parts[..] else { anyhow::bail!("{alternative}") };
            let _ = writeln!(
                text,
                "    - priority: {priority}\n      link_name: {link}\n      target: {target}"
            );
        }
    }
    Ok(text)
}

/// New keys, made by the commands of `docs/openwrt.md`.
fn keys(folder: &Path) -> Result<Keys> {
    packages::ensure_packages(&["signify-openbsd", "openssl"])?;
    let page = fs::read_to_string(build::workspace().join("docs/openwrt.md"))?;
    let makes_keys =
        |command: &&str| command.starts_with("signify") || command.starts_with("openssl");
    let commands = page.lines().filter_map(|line| line.strip_prefix("bench$ "));
    for command in commands.filter(makes_keys) {
        build::quietly(Command::new("sh").args(["-c", command]).current_dir(folder))?;
    }
    // The page's commands are for the source tree, where a key must not get into a commit.
    let ignored = fs::read_to_string(build::workspace().join(".gitignore"))?;
    for file in fs::read_dir(folder)? {
        let line = format!("/{}", file?.file_name().to_string_lossy());
        ensure!(ignored.lines().any(|other| other == line), ".gitignore has no {line}");
    }
    let usign = pack::usign::Key::from_text(&fs::read_to_string(folder.join("usign.sec"))?)?;
    let apk = apk::Key::from_pem(&fs::read_to_string(folder.join("apk.key"))?)?;
    Ok(Keys { usign: Some(usign), apk: Some(apk) })
}

/// A folder with a feed of an earlier run: another key is refused while an index of another architecture has the old one,
/// and files that no index has are told.
fn an_older_feed(built: &mut [Built], out: &Path) -> Result<()> {
    let other = keys(&fresh("feed-other")?)?;
    let before = fs::read(out.join("usign.pub"))?;
    let move_to = |built: &mut [Built], arch: &str| {
        built.iter_mut().for_each(|built| built.arch = arch.to_owned())
    };
    move_to(built, "mips_24kc");
    let refused = feed::write(built, &other, out).err().context("a feed with two keys")?;
    ensure!(format!("{refused:#}").contains("signed by another key"), "{refused:#}");
    ensure!(fs::read(out.join("usign.pub"))? == before, "a refused run wrote a key");
    move_to(built, ARCH);
    // All architectures of the folder: another key may come.
    feed::write(built, &other, out)?;
    let half: Vec<Built> = built
        .iter()
        .filter(|built| built.name.ends_with(".ipk") && !built.name.contains("proto"))
        .map(|built| Built {
            arch: built.arch.clone(),
            name: built.name.clone(),
            bytes: built.bytes.clone(),
        })
        .collect();
    let only_ipk = Keys { usign: other.usign, apk: None };
    let paths = feed::write(&half, &only_ipk, out)?;
    let others = others(out, &paths)?;
    let names: Vec<_> = others.iter().filter_map(|path| path.file_name()?.to_str()).collect();
    ensure!(names.contains(&"packages.adb"), "{names:?}");
    ensure!(names.iter().filter(|name| name.contains("proto")).count() == 2, "{names:?}");
    // The packages for apk, their index, and one for opkg.
    ensure!(names.len() == RECIPES.len() + 2, "{names:?}");
    Ok(())
}

pub(super) fn signatures() -> Result<String> {
    let folder = fresh("feed")?;
    let keys = keys(&folder)?;
    let mut built = Vec::new();
    for recipe in RECIPES {
        let agent = agent(recipe)?;
        let bytes = openwrt::ipk(recipe, ARCH, agent.as_deref())?.write()?;
        let (arch, name) = (ARCH.to_owned(), openwrt::file_name(recipe, ARCH, Format::Ipk));
        built.push(Built { arch, name, bytes });
        let bytes = openwrt::apk(recipe, ARCH, agent.as_deref())?.write(Compression::Deflate)?;
        let (arch, name) = (ARCH.to_owned(), openwrt::file_name(recipe, ARCH, Format::Apk));
        built.push(Built { arch, name, bytes });
    }
    let out = folder.join("feed");
    let paths = feed::write(&built, &keys, &out)?;
    ensure!(others(&out, &paths)?.is_empty(), "a new feed has other files");
    an_older_feed(&mut built, &out)?;
    feed::write(&built, &keys, &out)?;
    let at = out.join(ARCH);

    // The key file that the feed offers is the one that signify made, but for its comment.
    let line = |path: &Path| -> Result<String> {
        Ok(fs::read_to_string(path)?.lines().nth(1).unwrap_or_default().to_owned())
    };
    ensure!(
        line(&folder.join("usign.pub"))? == line(&out.join("usign.pub"))?,
        "another public key"
    );
    let verify = |message: &str| {
        let mut command = Command::new("signify-openbsd");
        command.args(["-V", "-p"]).arg(out.join("usign.pub")).arg("-m").arg(at.join(message));
        said(command.arg("-x").arg(at.join("Packages.sig")))
    };
    ensure!(verify("Packages")?.0 == 0, "signify: {:?}", verify("Packages")?);
    ensure!(verify("Packages.gz")?.0 != 0, "signify verifies another file");

    let index = fs::read_to_string(at.join("Packages"))?;
    let unzipped = build::quietly(Command::new("gzip").arg("-dc").arg(at.join("Packages.gz")))?;
    ensure!(unzipped == index, "Packages.gz is not Packages");
    for package in built.iter().filter(|package| package.name.ends_with(".ipk")) {
        let (_, digest, _) = said(Command::new("sha256sum").arg(at.join(&package.name)))?;
        let digest = digest.split_whitespace().next().context("sha256sum said nothing")?;
        let lines = format!(
            "Filename: {}\nSize: {}\nSHA256sum: {digest}\nDescription: ",
            package.name,
            package.bytes.len()
        );
        ensure!(index.contains(&lines), "Packages has no\n{lines}\n{index}");
    }

    let adb = fs::read(at.join("packages.adb"))?;
    let (description, signature) = apk::signed(&adb)?;
    let signature = signature.context("packages.adb has no signature")?;
    let (head, der) = signature.split_at_checked(18).context("a short signature")?;
    let key = keys.apk.as_ref().context("no key")?;
    let (wanted, message) = key.message(b"indx", &description);
    ensure!(head == wanted, "the head of the signature");
    fs::write(folder.join("message"), message)?;
    fs::write(folder.join("signature"), der)?;
    let verify = || {
        let mut command = Command::new("openssl");
        command.args(["dgst", "-sha512", "-verify"]).arg(out.join("apk.pem"));
        command.args(["-signature", "signature", "message"]).current_dir(&folder);
        said(&mut command)
    };
    ensure!(verify()?.0 == 0, "openssl: {:?}", verify()?);
    fs::write(folder.join("message"), "another message")?;
    ensure!(verify()?.0 != 0, "openssl verifies another message");
    // OpenWrt's tools name keys so.
    let mut public = Command::new("openssl");
    public.args(["ec", "-pubout", "-in", "apk.key"]).current_dir(&folder);
    let (_, public, _) = said(&mut public)?;
    ensure!(public == fs::read_to_string(out.join("apk.pem"))?, "apk.pem:\n{public}");
    Ok(format!("{} packages", built.len()))
}

pub(super) fn wrong_keys() -> Result<String> {
    let folder = fresh("keys")?;
    keys(&folder)?;
    let usign = fs::read_to_string(folder.join("usign.sec"))?;
    let apk = fs::read_to_string(folder.join("apk.key"))?;
    let mut refused = 0;
    let mut refuse = |what: &str, error: Option<pack::Error>, words: &str| -> Result<()> {
        let error = error.with_context(|| format!("{what} is taken"))?.to_string();
        ensure!(error.contains(words), "{what}: {error}");
        refused += 1;
        Ok(())
    };
    let usign_error = |text: &str| pack::usign::Key::from_text(text).err();
    let public = fs::read_to_string(folder.join("usign.pub"))?;
    refuse("a public key", usign_error(&public), "this is the public key")?;
    refuse("an empty file", usign_error(""), "usign -G")?;
    refuse("another kind of key", usign_error(&apk), "usign -G")?;
    // Every character of the key, damaged.
    let start = usign.find('\n').context("one line")? + 1;
    for at in start..usign.trim_end().len() {
        let mut damaged = usign.clone();
        let other = if damaged.as_bytes()[at] == b'A' { "B" } else { "A" };
        damaged.replace_range(at..=at, other);
        // The salt means nothing without a passphrase, nor does the number of the key to itself.
        let byte = (at - start) * 3 / 4;
        if (7..24).contains(&byte) || (31..41).contains(&byte) {
            continue;
        }
        refuse(&format!("a key damaged at {at}"), usign_error(&damaged), "usign -G")?;
    }
    let apk_error = |text: &str| apk::Key::from_pem(text).err();
    refuse("a usign key", apk_error(&usign), "prime256v1")?;
    let mut make = Command::new("openssl");
    let other = build::quietly(make.args(["ecparam", "-name", "secp384r1", "-genkey", "-noout"]))?;
    refuse("a key of another curve", apk_error(&other), "prime256v1")?;
    Ok(format!("{refused} keys"))
}
