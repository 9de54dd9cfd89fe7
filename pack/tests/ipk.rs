//! An ipk is read back unchanged, and GNU tar reads it.

use std::io::Write;
use std::process::{Command, Stdio};

use pack::ipk::Package;

fn package() -> Package {
    let mut package = Package {
        control: "Package: x\nArchitecture: all\nInstalled-Size: 0\nDescription:  a test\n".into(),
        mtime: 1_764_374_400,
        ..Package::default()
    };
    package.extra.file("conffiles", 0o644, "/etc/config/x\n").unwrap();
    package.extra.file("postinst", 0o755, "#!/bin/sh\n").unwrap();
    package.tree.file("etc/config/x", 0o600, "config x\n").unwrap();
    package.tree.file("usr/sbin/x", 0o755, vec![7; 2000]).unwrap();
    package.tree.link("usr/bin/y", "/usr/sbin/x").unwrap();
    package
}

#[test]
fn a_package_is_read_as_it_was_written() {
    let (file, mut wanted) = (package().write().unwrap(), package());
    assert_eq!(file, package().write().unwrap(), "not the same bytes twice");
    let read = Package::read(&file).unwrap();
    let size = read.control.split("Installed-Size: ").nth(1).unwrap().lines().next().unwrap();
    assert!(size.parse::<u32>().unwrap() % 512 == 0, "{size}");
    wanted.control = wanted.control.replace("Size: 0", &format!("Size: {size}"));
    assert_eq!(read, wanted);
}

#[test]
fn tar_lists_the_members_that_opkg_looks_for() {
    let mut tar = Command::new("tar")
        .args(["-tzf", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    tar.stdin.take().unwrap().write_all(&package().write().unwrap()).unwrap();
    let out = tar.wait_with_output().unwrap();
    assert!(out.status.success());
    assert_eq!(out.stdout, b"./debian-binary\n./data.tar.gz\n./control.tar.gz\n");
}

#[test]
fn a_damaged_package_is_an_error_and_no_panic() {
    let file = package().write().unwrap();
    for at in 0..file.len() {
        let mut damaged = file.clone();
        damaged[at] ^= 0x55;
        let _ = Package::read(&damaged);
        assert!(Package::read(&file[..at]).is_err(), "cut at {at}");
    }
}
