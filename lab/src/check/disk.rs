//! The content of a disk after a power cut.

use super::Bench;
use anyhow::{Result, ensure};

const FILES: usize = 20;

pub(super) fn power_cut(bench: &Bench) -> Result<String> {
    let disk = bench.lab.disk("gina")?;
    let machine = bench.lab.machine("gina").disk(&disk, "/keep");
    let mut cut = machine.boot()?;
    let mut survived = Vec::new();
    for round in 0..2 {
        let files = format!("for i in $(seq {FILES}); do echo {round} $i");
        cut.sh(&format!(
            "{files} | dd of=/keep/synced-{round}-$i conv=fsync status=none || exit 1; done; sync -d /keep; \
             {files} >/keep/loose-{round}-$i; done"
        ))?
        .ok()?;
        cut.kill();
        cut = machine.boot()?;
        let whole = |name: &str| -> Result<usize> {
            let script =
                format!("{files} | cmp -s - /keep/{name}-{round}-$i && echo $i; done | wc -l");
            Ok(cut.sh(&script)?.ok()?.text().parse()?)
        };
        let synced = whole("synced")?;
        ensure!(synced == FILES, "{synced} of {FILES} files that were synced are whole");
        survived.push(whole("loose")?);
        ensure!(survived[round] < FILES, "what was not synced is there too: the cut was no cut");
    }
    // The files of the first round are still there after the second cut.
    let first = cut.sh("cat /keep/synced-0-* | wc -l")?.ok()?.text();
    ensure!(first == FILES.to_string(), "{first} files of the first round");
    Ok(format!("twice {FILES} files whole, and of {FILES} that were not synced {survived:?}"))
}
