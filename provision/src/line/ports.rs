//! Serial ports by name. A port keeps its number for the whole run, whatever comes and goes: it is known by its path,
//! which for USB is the socket that the cable is plugged into.
//!
//! Ports are looked for again and again, which works on every system and needs no service of it.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::fleet::matches;

/// Where Linux lists serial ports by the USB socket.
const BY_PATH: &str = "/dev/serial/by-path";

/// A pattern for ports, and the speed of those that match.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern {
    folder: PathBuf,
    /// The name of the device in the folder, with `*` and `?`.
    name: String,
    /// The speed in bits per second; `None` for the default.
    pub baud: Option<u32>,
}

impl Pattern {
    /// Parses `PATTERN[@BAUD]`: a path, or the end of a name in `/dev/serial/by-path`.
    ///
    /// # Errors
    /// A message that says why the text is invalid.
    pub fn parse(text: &str) -> Result<Self, String> {
        let address = crate::units::serial(text)?;
        if address.auto {
            return Err("the ports of a line have a known speed, such as @115200".into());
        }
        let path = address.device.display().to_string();
        let (folder, name) = match path.rsplit_once('/') {
            Some(("", name)) => ("/", name),
            Some((folder, name)) => (folder, name),
            None => (BY_PATH, path.as_str()),
        };
        if name.is_empty() {
            return Err(format!("`{text}` is a folder: a pattern of ports is such as {folder}/*"));
        }
        if folder.contains(['*', '?']) {
            return Err(format!("`{text}`: only the last part of a path may have `*` and `?`"));
        }
        Ok(Self { folder: folder.into(), name: name.into(), baud: address.baud })
    }

    /// The ports that are there.
    fn found(&self) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return Vec::new() };
        let mut found: Vec<PathBuf> = entries
            .flatten()
            .filter(|entry| {
                let name = entry.file_name();
                name.to_str().is_some_and(|name| matches(&self.name, name) && !is_second(name))
            })
            .map(|entry| entry.path())
            .collect();
        found.sort();
        found
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.folder.join(&self.name).display().to_string())
    }
}

/// Whether a name is udev's second one for a port: it lists USB ports with and without the revision.
fn is_second(name: &str) -> bool {
    name.contains("-usbv2-") || name.contains("-usbv3-")
}

/// A port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Port {
    /// Its path.
    pub path: PathBuf,
    /// Its speed; `None` for the default.
    pub baud: Option<u32>,
}

impl Port {
    /// The device behind its path; `None` without a cable.
    #[must_use]
    pub fn device(&self) -> Option<PathBuf> {
        self.path.canonicalize().ok()
    }

    /// A short name for people: what tells it from other ports.
    #[must_use]
    pub fn label(&self) -> String {
        label(&self.path)
    }
}

/// The end of a path: for USB the socket, such as `usb-0:3.2:1.0`.
fn label(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let socket = name.find("usb").map_or(&*name, |at| name.get(at..).unwrap_or_default());
    socket.trim_end_matches("-port0").into()
}

/// All ports of a run.
#[derive(Debug)]
pub struct Ports {
    patterns: Vec<Pattern>,
    known: HashSet<PathBuf>,
}

impl Ports {
    /// Begins to look for ports.
    #[must_use]
    pub fn new(patterns: Vec<Pattern>) -> Self {
        Self { patterns, known: HashSet::new() }
    }

    /// Looks for ports, and returns those that were never there before.
    pub fn look(&mut self) -> Vec<Port> {
        let mut fresh = Vec::new();
        for pattern in &self.patterns {
            for path in pattern.found() {
                if self.known.insert(path.clone()) {
                    fresh.push(Port { path, baud: pattern.baud });
                }
            }
        }
        fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_ports() {
        let pattern = |text: &str| Pattern::parse(text).unwrap();
        let by_path = pattern("*usb-0:3.*@57600");
        assert_eq!((by_path.folder.to_str(), by_path.baud), (Some(BY_PATH), Some(57_600)));
        assert_eq!(pattern("/dev/ttyUSB*").folder.to_str(), Some("/dev"));
        assert_eq!(by_path.to_string(), "/dev/serial/by-path/*usb-0:3.*");
        for bad in ["", "/dev/", "/d*v/tty0", "/dev/x@0"] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
        let of = |name: &str| label(&Path::new(BY_PATH).join(name));
        assert_eq!(of("pci-0000:00:14.0-usb-0:3.2:1.0-port0"), "usb-0:3.2:1.0");
        assert_eq!(of("ttyS0"), "ttyS0");
    }

    #[test]
    fn a_port_keeps_its_number() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| dir.path().join(name);
        let touch = |name: &str| std::fs::write(file(name), "").unwrap();
        let mut ports =
            Ports::new(vec![Pattern::parse(&format!("{}/p*", dir.path().display())).unwrap()]);
        assert_eq!(ports.look(), []);
        touch("p2");
        touch("other");
        touch("p-usbv2-0");
        assert_eq!(ports.look(), [Port { path: file("p2"), baud: None }]);
        touch("p1");
        std::fs::remove_file(file("p2")).unwrap();
        assert_eq!(ports.look(), [Port { path: file("p1"), baud: None }]);
        let has_device = |name| Port { path: file(name), baud: None }.device().is_some();
        assert!(!has_device("p2") && has_device("p1"));
        touch("p2");
        assert_eq!(ports.look(), [], "it comes back under its number");
    }
}
