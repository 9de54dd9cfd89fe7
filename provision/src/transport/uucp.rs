//! Lock files of serial ports, as picocom, minicom, cu and ModemManager use them: `/var/lock/LCK..ttyUSB0` with the
//! process number of its owner in ten columns (Filesystem Hierarchy Standard 3.0, section 5.9).
//!
//! They work between all programs, but not at once: two that start at the same moment may both find none. So `port`
//! takes the kernel's lock first.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

/// Where the lock files are. On a system without this folder there are none.
const FOLDER: &str = "/var/lock";

/// How long a program may take to write its number into a file that it has made.
const EMPTY: Duration = Duration::from_secs(60);

/// The lock file of a port, which is removed in the end.
#[derive(Debug)]
pub(super) struct LockFile(Option<PathBuf>);

/// The program that has locked a port.
#[derive(Debug, PartialEq)]
pub(super) struct Holder {
    /// The program's name, if the system tells it.
    pub(super) program: Option<String>,
    /// The number in the file, if it has one.
    pub(super) process: Option<i32>,
    pub(super) file: PathBuf,
}

impl LockFile {
    /// Locks a port. Without permission to make the file, the port is only checked.
    pub(super) fn take(device: &Path) -> Result<Self, Holder> {
        Self::take_in(Path::new(FOLDER), device)
    }

    fn take_in(folder: &Path, device: &Path) -> Result<Self, Holder> {
        let Some(name) = name(device) else { return Ok(Self(None)) };
        let path = folder.join(name);
        // Twice, because the first attempt may find a file whose owner has ended.
        for _ in 0..2 {
            match make(folder, &path) {
                Ok(()) => return Ok(Self(Some(path))),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(_) => break,
            }
            if let Some(holder) = holder(&path) {
                return Err(holder);
            }
            if std::fs::remove_file(&path).is_err() {
                break;
            }
        }
        Ok(Self(None))
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// The file's name: the device behind all links, with `_` for the slashes behind `/dev/`.
fn name(device: &Path) -> Option<String> {
    let device = device.canonicalize().ok()?;
    let name = device.strip_prefix("/dev").ok()?.to_str()?;
    Some(format!("LCK..{}", name.replace('/', "_")))
}

/// Makes a lock file that has its number from the first moment on: an empty one, of a program that was killed in
/// between, would lock the port for ever.
fn make(folder: &Path, path: &Path) -> io::Result<()> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".postwire-");
    // Programs of other users read the number.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(format!("{:>10}\n", std::process::id()).as_bytes())?;
    file.persist_noclobber(path).map(|_| ()).map_err(|error| error.error)
}

/// Whether a file was left empty by a program that was killed: a running one writes its number at once.
fn is_left(path: &Path) -> bool {
    let age = || path.metadata()?.modified().map(|time| time.elapsed().unwrap_or_default());
    age().is_ok_and(|age| age >= EMPTY)
}

/// The running program whose lock file this is. `None` if it has ended.
fn holder(path: &Path) -> Option<Holder> {
    let contents = match std::fs::read(path) {
        Ok(contents) => contents,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        // A file that cannot be read may have a number.
        Err(_) => vec![0],
    };
    if contents.is_empty() && is_left(path) {
        return None;
    }
    let process = number(&contents);
    let mut program = None;
    if let Some(pid) = process.and_then(Pid::from_raw) {
        let is_own = pid == rustix::process::getpid();
        if is_own || test_kill_process(pid) == Err(Errno::SRCH) {
            return None;
        }
        let name = std::fs::read_to_string(format!("/proc/{}/comm", pid.as_raw_nonzero()));
        program = name.ok().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    }
    Some(Holder { program, process, file: path.into() })
}

/// The process number, as text or, from old programs, as four bytes in the machine's order.
fn number(contents: &[u8]) -> Option<i32> {
    let text = std::str::from_utf8(contents).ok();
    let number = text.and_then(|text| text.split_whitespace().next()?.parse().ok());
    number.or_else(|| contents.try_into().ok().map(i32::from_ne_bytes)).filter(|number| *number > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(folder: &Path) -> Result<LockFile, Holder> {
        LockFile::take_in(folder, Path::new("/dev/null"))
    }

    #[test]
    fn a_port_is_locked_until_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("LCK..null");
        let held = lock(dir.path()).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, format!("{:>10}\n", std::process::id()));
        drop(held);
        assert!(!path.exists());
    }

    #[test]
    fn a_running_program_keeps_its_port_and_one_that_ended_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("LCK..null");
        let mut program = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let process = i32::try_from(program.id()).unwrap();
        let forms = [
            format!("{process:>10}\n").into_bytes(),
            format!("{process} minicom root\n").into_bytes(),
            process.to_ne_bytes().to_vec(),
        ];
        for form in &forms {
            std::fs::write(&path, form).unwrap();
            let holder = lock(dir.path()).unwrap_err();
            assert_eq!(holder.process, Some(process), "{form:?}");
            assert_eq!(std::fs::read(&path).unwrap(), *form);
        }
        program.kill().unwrap();
        program.wait().unwrap();
        for form in &forms {
            std::fs::write(&path, form).unwrap();
            drop(lock(dir.path()).unwrap());
            assert!(!path.exists(), "{form:?}");
        }
        // A file of an earlier program with our own number, as in a container, where numbers come again soon.
        std::fs::write(&path, format!("{:>10}\n", std::process::id())).unwrap();
        drop(lock(dir.path()).unwrap());
        // Another program may be about to write its number.
        std::fs::write(&path, "").unwrap();
        let unknown = Holder { program: None, process: None, file: path.clone() };
        assert_eq!(lock(dir.path()).unwrap_err(), unknown);
    }

    #[test]
    fn a_file_that_a_killed_program_left_empty_locks_the_port_for_a_minute() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("LCK..null");
        let file = std::fs::File::create(&path).unwrap();
        lock(dir.path()).unwrap_err();
        file.set_modified(std::time::SystemTime::now() - EMPTY).unwrap();
        let held = lock(dir.path()).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
        assert_eq!(mode & 0o777, 0o644);
        drop(held);
        assert_eq!(dir.path().read_dir().unwrap().count(), 0, "nothing is left");
    }

    #[test]
    fn the_name_is_that_of_the_device_itself() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("console");
        std::os::unix::fs::symlink("/dev/null", &link).unwrap();
        assert_eq!(name(&link).unwrap(), "LCK..null");
        assert_eq!(name(Path::new("/dev/pts/ptmx")).unwrap(), "LCK..pts_ptmx");
        assert_eq!(name(Path::new("/dev/no such device")), None);
        // A folder that cannot be written locks nothing.
        assert!(lock(&dir.path().join("none")).unwrap().0.is_none());
    }
}
