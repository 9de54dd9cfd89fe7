//! Compares our package with the one that apk-tools 3.0.6 made of the same files
//! (`data/golden-none.apk`, with its dump beside it).

use pack::apk::{Compression, Info, Package};

/// The files that went into the golden package.
fn golden() -> Package {
    let mut package = Package {
        info: Info {
            name: "postwired".into(),
            version: "0.1.0-r1".into(),
            description: "golden".into(),
            arch: "mips_24kc".into(),
            license: "MIT OR Apache-2.0".into(),
            origin: "postwired".into(),
            depends: vec!["kmod-wireguard".into(), "libc".into()],
            ..Info::default()
        },
        mtime: 1_764_374_400,
        ..Package::default()
    };
    let tree = &mut package.tree;
    tree.file("etc/config/postwired", 0o644, "config postwired 'main'\n").unwrap();
    tree.file("etc/empty", 0o644, "").unwrap();
    tree.file("etc/init.d/postwired", 0o755, "#!/bin/sh /etc/rc.common\n").unwrap();
    tree.file("lib/apk/packages/postwired.list", 0o644, "/etc/init.d/postwired\n").unwrap();
    tree.file("lib/upgrade/keep.d/postwired", 0o644, "/etc/postwired/\n").unwrap();
    tree.file("usr/sbin/postwired", 0o755, "not a program\n").unwrap();
    tree.link("usr/sbin/postwired-link", "/usr/sbin/postwired").unwrap();
    package.scripts.insert("post-install".into(), b"#!/bin/sh\nexit 0\n".to_vec());
    package
}

const GOLDEN: &[u8] = include_bytes!("data/golden-none.apk");

#[test]
fn an_uncompressed_package_is_what_apk_writes() {
    let ours = golden().write(Compression::None).unwrap();
    let differs = ours.iter().zip(GOLDEN).position(|(ours, theirs)| ours != theirs);
    assert_eq!((differs, ours.len()), (None, GOLDEN.len()), "not the bytes of apk 3.0.6");
}

#[test]
fn the_package_that_apk_wrote_is_read() {
    assert_eq!(Package::read(GOLDEN).unwrap(), golden());
    let deflated = golden().write(Compression::Deflate).unwrap();
    assert!(deflated.len() < GOLDEN.len());
    assert_eq!(Package::read(&deflated).unwrap(), golden());
}

#[test]
fn a_damaged_package_is_an_error_and_no_panic() {
    let mut refused = 0;
    for at in 0..GOLDEN.len() {
        for bit in 0..8 {
            let mut damaged = GOLDEN.to_vec();
            damaged[at] ^= 1 << bit;
            refused += usize::from(Package::read(&damaged).is_err());
        }
        assert!(at == 0 || Package::read(&GOLDEN[..at]).is_err(), "cut at {at}");
    }
    println!("{} damaged packages, {refused} refused", GOLDEN.len() * 8);
    assert!(refused > GOLDEN.len());
}
