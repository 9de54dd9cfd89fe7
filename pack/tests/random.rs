//! Random packages are read back as they were written.

use pack::apk::{self, Compression, Info};
use pack::ipk;
use pack::tree::{Entry, Node, Tree};
use proptest::prelude::*;

/// A path of one to four names, some of which are shared by many paths.
fn path() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        3 => prop::sample::select(vec!["etc", "usr", "lib", "bin", "a"]).prop_map(str::to_owned),
        1 => "[a-zA-Z0-9._+-]{1,12}".prop_filter("no name", |name| name != "." && name != ".."),
        1 => "[äßé ]{1,4}",
    ];
    prop::collection::vec(name, 1..5).prop_map(|names| names.join("/"))
}

/// Contents: empty, short, with lengths around those that the formats treat differently, and some that repeat.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(Vec::new()),
        Just(vec![7; 300]),
        prop::collection::vec(any::<u8>(), 0..40),
        prop::sample::select(vec![255_usize, 256, 511, 512, 513, 65_535, 65_536, 70_000])
            .prop_map(|len| (0..len).map(|at| (at * 7) as u8).collect()),
    ]
}

fn entry() -> impl Strategy<Value = Entry> {
    let mode = prop::sample::select(vec![0o644_u32, 0o600, 0o755, 0o4755, 0o1777]);
    let node = prop_oneof![
        1 => Just(Node::Dir),
        4 => bytes().prop_map(Node::File),
        1 => "[a-z/.]{1,60}".prop_map(Node::Link),
    ];
    (mode, node).prop_map(|(mode, node)| {
        let mode = if matches!(node, Node::Link(_)) { 0o777 } else { mode };
        Entry { mode, node }
    })
}

/// A tree. Paths that do not fit together are left out, as the tree itself refuses them.
fn tree() -> impl Strategy<Value = Tree> {
    prop::collection::vec((path(), entry()), 0..40).prop_map(|entries| {
        let mut tree = Tree::default();
        for (path, entry) in entries {
            let _ = tree.add(&path, entry);
        }
        tree
    })
}

fn name() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9._+-]{0,20}"
}

fn apk_package() -> impl Strategy<Value = apk::Package> {
    let scripts = prop::collection::btree_map(
        prop::sample::select(apk::SCRIPTS.to_vec()).prop_map(str::to_owned),
        // An empty script is no script.
        bytes().prop_filter("empty", |bytes| !bytes.is_empty()),
        0..4,
    );
    let depends = prop::collection::btree_set(name(), 0..6);
    let texts = (name(), name(), name(), ".{0,400}", any::<bool>());
    (tree(), scripts, depends, texts, 0_u64..1 << 40).prop_map(
        |(tree, scripts, depends, texts, mtime)| {
            let (name, version, arch, description, conflict) = texts;
            let sign = if conflict { "!" } else { "" };
            let depends = depends.into_iter().map(|name| format!("{sign}{name}")).collect();
            let provides = vec![format!("{name}-any"), format!("{name}-of=1.0-r1")];
            let info =
                Info { name, version, arch, description, depends, provides, ..Info::default() };
            // An apk has no time of its own: that of its files counts.
            let files = tree.iter().any(|(_, entry)| entry.node != Node::Dir);
            apk::Package { info, tree, scripts, mtime: if files { mtime } else { 0 } }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        rng_seed: proptest::test_runner::RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn an_apk_is_read_as_it_was_written(package in apk_package()) {
        let plain = package.write(Compression::None).unwrap();
        prop_assert_eq!(apk::Package::read(&plain).unwrap(), package.clone());
        let small = package.write(Compression::Deflate).unwrap();
        prop_assert_eq!(apk::Package::read(&small).unwrap(), package.clone());
        prop_assert_eq!(package.write(Compression::None).unwrap(), plain);
        let index = apk::index(&[small], "random", None).unwrap();
        prop_assert!(apk::signed(&index).unwrap().1.is_none());
    }

    #[test]
    fn an_ipk_is_read_as_it_was_written(tree in tree(), mtime in 0_u64..1 << 32) {
        let mut package = ipk::Package {
            control: "Package: x\nArchitecture: all\nInstalled-Size: 0\nDescription:  random\n".into(),
            tree,
            mtime,
            ..ipk::Package::default()
        };
        let bytes = match package.write() {
            Ok(bytes) => bytes,
            // A path or a link's target that is too long for the format is refused in words.
            Err(error) => {
                prop_assert!(error.to_string().contains("too long"), "{}", error);
                return Ok(());
            }
        };
        let read = ipk::Package::read(&bytes).unwrap();
        package.control.clone_from(&read.control);
        prop_assert_eq!(read, package);
    }
}
