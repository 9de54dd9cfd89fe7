//! The serial ports of this machine, and the one of `--serial auto`.

use std::path::{Path, PathBuf};

use serial2::SerialPort;

use super::TransportError;

/// The serial ports that the system knows, sorted.
pub(super) fn all() -> Vec<PathBuf> {
    let mut ports = SerialPort::available_ports().unwrap_or_default();
    ports.sort();
    ports
}

/// The only serial port of this machine. Built-in ports do not count where an adapter for USB is plugged in.
///
/// # Errors
/// [`TransportError::Open`] naming the ports, if there is not exactly one.
pub fn only() -> Result<PathBuf, TransportError> {
    let ports = all();
    let candidates = candidates(&ports);
    match candidates.as_slice() {
        [only] => Ok(only.to_path_buf()),
        [] => Err(TransportError::Open {
            code: "no_port",
            message: "this machine has no serial port at the moment".into(),
            hint: Some("is the adapter plugged in?".into()),
        }),
        several => Err(TransportError::Open {
            code: "several_ports",
            message: format!("this machine has {} serial ports: {}", several.len(), list(several)),
            hint: Some("name the port of the router with --serial".into()),
        }),
    }
}

/// The hint for a device that does not exist.
pub(super) fn hint() -> String {
    match all().as_slice() {
        [] => "this machine has no serial port at the moment: is the adapter plugged in?".into(),
        some => format!("the serial ports are {}", list(some)),
    }
}

fn list(ports: &[impl AsRef<Path>]) -> String {
    let names: Vec<String> = ports.iter().map(|port| port.as_ref().display().to_string()).collect();
    names.join(", ")
}

/// The ports that a person may mean.
fn candidates(ports: &[PathBuf]) -> Vec<&Path> {
    /// Names of adapters for USB on Linux, macOS and FreeBSD.
    const USB: [&str; 4] = ["ttyUSB", "ttyACM", "cu.usb", "cuaU"];
    let starts = |port: &Path, with: &[&str]| {
        let name = port.file_name().map(|name| name.to_string_lossy());
        name.is_some_and(|name| with.iter().any(|with| name.starts_with(with)))
    };
    let usb: Vec<&Path> =
        ports.iter().map(PathBuf::as_path).filter(|port| starts(port, &USB)).collect();
    // macOS has two devices of each port. `tty.` would wait for a modem's carrier.
    let others = ports.iter().map(PathBuf::as_path).filter(|port| !starts(port, &["tty."]));
    if usb.is_empty() { others.collect() } else { usb }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapter_comes_before_built_in_ports_and_a_port_counts_once() {
        for (ports, expected) in [
            (vec![], vec![]),
            (vec!["/dev/ttyS0"], vec!["/dev/ttyS0"]),
            (vec!["/dev/ttyS0", "/dev/ttyUSB3"], vec!["/dev/ttyUSB3"]),
            (
                vec!["/dev/ttyACM0", "/dev/ttyS0", "/dev/ttyUSB0"],
                vec!["/dev/ttyACM0", "/dev/ttyUSB0"],
            ),
            (vec!["/dev/cu.usbserial-1", "/dev/tty.usbserial-1"], vec!["/dev/cu.usbserial-1"]),
            (vec!["/dev/cu.Bluetooth", "/dev/tty.Bluetooth"], vec!["/dev/cu.Bluetooth"]),
            (vec!["COM3"], vec!["COM3"]),
        ] {
            let ports: Vec<PathBuf> = ports.iter().map(PathBuf::from).collect();
            let expected: Vec<&Path> = expected.iter().map(Path::new).collect();
            assert_eq!(candidates(&ports), expected);
        }
    }
}
