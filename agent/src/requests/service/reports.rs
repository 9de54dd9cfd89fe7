//! The files that clients read: one for each owner, so that no owner overwrites the file of another.

use core::mem::swap;

use heapless::Vec;
use proto_core::key::PublicKey;
use proto_core::protocol::Digest;
use proto_core::protocol::message::{Answer, ClientId};

use super::answered::SHARES;
use crate::system::File;

/// Milliseconds after which an unread file is emptied.
const UNREAD: u64 = 600_000;

/// Number of files: one for each share of answers.
pub const REPORTS: usize = SHARES;

/// The contents of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Readable {
    pub(super) file: u32,
    pub(super) length: u32,
    pub(super) digest: Digest,
    client: ClientId,
    /// The stage whose changes the file holds.
    stage: Option<u32>,
}

/// A file, and its owner's key.
#[derive(Debug)]
struct Report<F> {
    file: F,
    key: Option<PublicKey>,
    readable: Option<Readable>,
    /// Time of the last write or read.
    used: u64,
}

/// The files.
#[derive(Debug)]
pub(super) struct Reports<F> {
    reports: Vec<Report<F>, REPORTS>,
}

impl<F: File> Reports<F> {
    pub(super) fn new(files: Vec<F, REPORTS>) -> Self {
        let report = |file| Report { file, key: None, readable: None, used: 0 };
        Self { reports: files.into_iter().map(report).collect() }
    }

    /// The number of the file of a key: its own, or a free one. Unread files are emptied.
    fn of(
        &mut self,
        key: &PublicKey,
        owns: &dyn Fn(&PublicKey) -> bool,
        now: u64,
    ) -> Option<usize> {
        for report in &mut self.reports {
            if report.readable.is_some() && now.saturating_sub(report.used) > UNREAD {
                report.readable = None;
                // Best effort: the next write truncates it.
                let _ = report.file.clear();
            }
        }
        let its = |report: &Report<F>| report.key == Some(*key);
        let unused = |report: &Report<F>| report.key.is_none();
        let strangers = |report: &Report<F>| report.key.is_some_and(|key| !owns(&key));
        let at = self.reports.iter().position(its);
        let at = at.or_else(|| self.reports.iter().position(unused));
        at.or_else(|| self.reports.iter().position(strangers))
    }

    /// Lends the file of a key in exchange for `file`, and marks it as unreadable. Returns the
    /// number for returning it.
    #[inline(never)]
    pub(super) fn lend(
        &mut self,
        file: &mut F,
        key: &PublicKey,
        owns: &dyn Fn(&PublicKey) -> bool,
        now: u64,
    ) -> Option<usize> {
        let at = self.of(key, owns, now)?;
        let report = self.reports.get_mut(at)?;
        (report.key, report.readable) = (Some(*key), None);
        swap(&mut report.file, file);
        Some(at)
    }

    /// Takes back a lent file, with its new contents.
    pub(super) fn take_back(
        &mut self,
        at: Option<usize>,
        file: &mut F,
        readable: Option<Readable>,
        now: u64,
    ) {
        if let Some(report) = at.and_then(|at| self.reports.get_mut(at)) {
            swap(&mut report.file, file);
            (report.readable, report.used) = (readable, now);
        }
    }

    /// The file that this client of this owner can read, and its contents.
    pub(super) fn find(
        &mut self,
        key: &PublicKey,
        client: &ClientId,
        now: u64,
    ) -> Option<(&mut F, Readable)> {
        let report = self.reports.iter_mut().find(|report| report.key == Some(*key))?;
        let readable = report.readable.filter(|readable| readable.client == *client)?;
        report.used = now;
        Some((&mut report.file, readable))
    }
}

impl Readable {
    pub(super) const fn new(
        file: u32,
        client: ClientId,
        (length, digest): (u32, Digest),
        stage: Option<u32>,
    ) -> Self {
        Self { file, length, digest, client, stage }
    }

    /// Whether the file has the changes of this stage.
    pub(super) fn is_of(&self, stage: u32) -> bool {
        self.stage == Some(stage)
    }

    pub(super) fn ready<'a>(self) -> Answer<'a> {
        Answer::Ready { file: self.file, length: self.length, digest: self.digest }
    }
}
