//! Permissions and ownership of the operator's files: the parts that differ between systems.

#[cfg(not(unix))]
pub(super) use other::*;
#[cfg(unix)]
pub(super) use unix::*;

#[cfg(unix)]
mod unix {
    use std::fs::{DirBuilder, File, OpenOptions, Permissions};
    use std::io;
    use std::os::unix::fs::{
        DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown,
        fchown,
    };
    use std::path::Path;

    /// Creates a folder that only its owner can read.
    pub(in crate::home) fn make_folder(folder: &Path) -> io::Result<()> {
        if folder.is_dir() {
            return Ok(());
        }
        let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Some(parent) = parent {
            make_folder(parent)?;
        }
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        match parent {
            Some(parent) => {
                let (uid, gid) = owner_of(parent)?;
                if is_root() { chown(folder, Some(uid), Some(gid)) } else { Ok(()) }
            }
            None => Ok(()),
        }
    }

    /// Makes a new file readable only for its owner.
    pub(in crate::home) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
        options.mode(0o600)
    }

    /// The same for a temporary file.
    pub(in crate::home) fn private_temporary<'b, 'p, 's>(
        builder: &'b mut tempfile::Builder<'p, 's>,
    ) -> &'b mut tempfile::Builder<'p, 's> {
        builder.permissions(Permissions::from_mode(0o600))
    }

    /// A temporary file that others may read, as far as the umask lets them.
    pub(in crate::home) fn shared_temporary<'b, 'p, 's>(
        builder: &'b mut tempfile::Builder<'p, 's>,
    ) -> &'b mut tempfile::Builder<'p, 's> {
        builder.permissions(Permissions::from_mode(0o666))
    }

    /// Gives the files that root created in a user's folder to that user.
    pub(in crate::home) fn give_to_owner_of(folder: &Path, file: &File) -> io::Result<()> {
        if !is_root() {
            return Ok(());
        }
        let (uid, gid) = owner_of(folder)?;
        fchown(file, Some(uid), Some(gid))
    }

    /// Syncs the names in a folder to the disk.
    pub(in crate::home) fn sync_folder(folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    /// The permission bits of a file, if any of `bits` is set.
    pub(in crate::home) fn exposed(metadata: &std::fs::Metadata, bits: u32) -> Option<u32> {
        let mode = metadata.permissions().mode() & 0o777;
        (mode & bits != 0).then_some(mode)
    }

    /// Whether a file belongs to a user who is neither the operator nor root.
    pub(in crate::home) fn is_foreign(metadata: &std::fs::Metadata) -> bool {
        let own = rustix::process::geteuid().as_raw();
        own != 0 && metadata.uid() != own && metadata.uid() != 0
    }

    fn owner_of(folder: &Path) -> io::Result<(u32, u32)> {
        let metadata = folder.metadata()?;
        Ok((metadata.uid(), metadata.gid()))
    }

    fn is_root() -> bool {
        rustix::process::geteuid().is_root()
    }
}

#[cfg(not(unix))]
mod other {
    use std::fs::{File, OpenOptions};
    use std::io;
    use std::path::Path;

    /// Creates a folder; a folder in a user's profile belongs to that user alone.
    pub(in crate::home) fn make_folder(folder: &Path) -> io::Result<()> {
        std::fs::create_dir_all(folder)
    }

    /// Nothing to do: the folder's permissions count.
    pub(in crate::home) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
        options
    }

    /// Nothing to do: the folder's permissions count.
    pub(in crate::home) fn private_temporary<'b, 'p, 's>(
        builder: &'b mut tempfile::Builder<'p, 's>,
    ) -> &'b mut tempfile::Builder<'p, 's> {
        builder
    }

    /// Nothing to do.
    pub(in crate::home) fn shared_temporary<'b, 'p, 's>(
        builder: &'b mut tempfile::Builder<'p, 's>,
    ) -> &'b mut tempfile::Builder<'p, 's> {
        builder
    }

    /// Nothing to do.
    pub(in crate::home) fn give_to_owner_of(_: &Path, _: &File) -> io::Result<()> {
        Ok(())
    }

    /// Folders cannot be synced here.
    pub(in crate::home) fn sync_folder(_: &Path) -> io::Result<()> {
        Ok(())
    }

    /// This system has no such bits.
    pub(in crate::home) fn exposed(_: &std::fs::Metadata, _: u32) -> Option<u32> {
        None
    }

    /// Not checked on this system.
    pub(in crate::home) fn is_foreign(_: &std::fs::Metadata) -> bool {
        false
    }
}
