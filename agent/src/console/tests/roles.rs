//! The permission of each person for each command, cell by cell.

use std::string::String;
use std::vec::Vec;

use proto_core::protocol::VERSION;
use proto_core::protocol::message::{Answer, Ask, Role};

use super::rig::{ANNE, BEN, Rig, ask_as, key, owned, push, push_to, with_router};
use crate::access::owners::Standing;
use crate::console::terminal::Wish;
use crate::console::words::TABLE;
use crate::fault::Slot;
use crate::testing::Router;

/// `yes`: executed, as the output shows ([`SAYS`]). `?`: executed after `yes` is typed. `guest` and
/// `look`: refused, because the console is a guest's, or the role is read-only.
const WANTED: &str = "
command            unowned root guest admin read-only removed session session-read-only
help               yes     yes  yes   yes   yes       yes     yes     yes
status             yes     yes  yes   yes   yes       yes     yes     yes
identity           yes     yes  yes   yes   yes       yes     yes     yes
show               yes     yes  guest yes   yes       guest   yes     yes
owners             yes     yes  guest yes   yes       guest   yes     yes
history            yes     yes  guest yes   yes       guest   yes     yes
diff               yes     yes  guest yes   yes       guest   yes     yes
confirm            ?       yes  guest yes   look      guest   yes     look
revert             ?       yes  guest yes   look      guest   yes     look
rollback wg0       ?       ?    guest ?     look      guest   ?       look
repair wg0         ?       yes  guest yes   look      guest   yes     look
remove wg0         ?       ?    guest ?     look      guest   ?       look
load wg0           yes     yes  guest yes   look      guest   yes     look
commit             yes     yes  guest yes   look      guest   yes     look
drop               yes     yes  guest yes   look      guest   yes     look
log                yes     yes  guest yes   yes       guest   yes     yes
more on            yes     yes  yes   yes   yes       yes     yes     yes
unlock             yes     yes  yes   yes   yes       yes     yes     yes
claim KEY          ?       yes  guest yes   look      guest   yes     look
shell              ?       yes  guest yes   look      guest   yes     look
exit               yes     yes  yes   yes   yes       yes     yes     yes
";

/// What each command says once it is executed; from `|` on, to a guest, who sees less.
const SAYS: &[(&str, &str)] = &[
    ("help", "show [IF]|unlock [CODE]"),
    ("status", "stored wg0 runs as stored|this console is a guest; `unlock` opens it"),
    ("identity", "fingerprint: "),
    ("show", "listening port: 2"),
    ("owners", "owner"),
    ("history", "wg0 2: pushed by anne"),
    ("diff", "would change: nothing has to change"),
    ("confirm", "confirmed: wg0 number 3"),
    ("revert", "reverted: wg0 is as it was before"),
    ("rollback wg0", "stored as number 3"),
    ("repair wg0", "applied: nothing has to change"),
    ("remove wg0", "stored as number 3"),
    ("load wg0", "wg0"),
    ("commit", "failed: nothing is loaded; `load IF` loads a file"),
    ("drop", "failed: nothing is loaded"),
    ("log", "this router is "),
    ("more on", ""),
    ("unlock", "the console is open already|challenge: "),
    ("claim KEY", "claimed: owner"),
    ("shell", ""),
    ("exit", ""),
];

fn cell(output: &str) -> &'static str {
    let text = output.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.contains("failed: this console is a guest") {
        "guest"
    } else if text.contains("failed: your role may look at this router but not change it") {
        "look"
    } else if text.contains("are you sure?") {
        "?"
    } else {
        "yes"
    }
}

/// Executes a command in a session. Returns the output.
pub(super) fn in_session(rig: &mut Rig<'_, '_>, line: &str, standing: Standing) -> String {
    let service = rig.agent.service_mut();
    let hello = Ask::Hello { min: VERSION, max: VERSION, features: 0 };
    assert!(matches!(ask_as(service, hello, standing), Answer::Hello(_)));
    let answer = ask_as(service, Ask::Console { line: line.as_bytes() }, standing);
    let Answer::Console { file, length, .. } = answer else { panic!("{answer:?}") };
    let mut text = Vec::new();
    while text.len() < length as usize {
        let offset = text.len() as u32;
        let answer = ask_as(service, Ask::Read { file, offset, length: 500 }, standing);
        let Answer::Data { data, .. } = answer else { panic!("{answer:?}") };
        assert!(!data.is_empty());
        text.extend_from_slice(data);
    }
    String::from_utf8(text).unwrap()
}

/// What came of a command.
struct Given {
    cell: &'static str,
    /// The output; behind a question, that of the answer `yes`.
    said: String,
    wish: Wish,
    /// Whether the interface, its history or the list of owners is another one.
    changed: bool,
}

/// Executes a command as the person of this column.
fn given(column: &str, line: &str) -> Given {
    let router = Router::default();
    push(&router, 0, 1, 0);
    push(&router, 0, 2, 0);
    let owners = (column != "unowned").then(owned);
    let serial = column != "root";
    with_router(&router, owners, serial, |rig| {
        if matches!(line, "confirm" | "revert") {
            // What has no effect is not asked back.
            push_to(rig.agent.service_mut(), 0, 3, 60);
        }
        match column {
            "admin" => drop(rig.unlock(ANNE, Role::Admin)),
            "read-only" => drop(rig.unlock(BEN, Role::ReadOnly)),
            "removed" => {
                let shown = rig.unlock(BEN, Role::ReadOnly);
                assert!(rig.run("owners").contains("ben"), "{shown}");
                let slot = Slot::default();
                rig.agent.ownership_mut().remove(&slot, &key(BEN).public()).unwrap();
            }
            _ => {}
        }
        rig.run("more off");
        rig.person.wish = Wish::Nothing;
        let says = |line: &str, rig: &mut Rig<'_, '_>| match column {
            "session" => in_session(rig, line, Standing::Owner(Role::Admin)),
            "session-read-only" => in_session(rig, line, Standing::Owner(Role::ReadOnly)),
            _ => {
                rig.person.sent.clear();
                rig.keys(line).keys("\r");
                String::from_utf8_lossy(&rig.person.sent).replace("\r\n", "\n")
            }
        };
        let state = |rig: &Rig<'_, '_>| {
            (router.content(0), router.keep.names(), rig.agent.ownership().is_empty())
        };
        let before = state(rig);
        let mut said = says(line, rig);
        let cell = cell(&said);
        assert!(!said.contains("there is no command"), "{line} by {column}: {said}");
        if cell == "?" {
            assert!(state(rig) == before, "{line} by {column} before its question is answered");
            said = says("yes", rig);
        }
        Given { cell, said, wish: rig.person.wish, changed: state(rig) != before }
    })
}

#[test]
fn each_person_may_give_the_commands_of_the_table_and_no_others() {
    let mut lines = WANTED.lines().filter(|line| !line.is_empty());
    let columns: Vec<&str> = lines.next().unwrap().split_whitespace().skip(1).collect();
    let (mut commands, mut wrong, mut cells) = (Vec::new(), Vec::new(), 0);
    for line in lines {
        let (command, rest) = line.split_at(19);
        let command = command.trim();
        commands.push(command.split_whitespace().next().unwrap());
        let says = SAYS.iter().find(|(name, _)| *name == command).map(|(_, says)| *says).unwrap();
        let (says, to_guests) = says.split_once('|').unwrap_or((says, says));
        let typed = command.replace("KEY", &std::format!("{}", key(9).public()));
        let wanted: Vec<&str> = rest.split_whitespace().collect();
        assert_eq!(wanted.len(), columns.len(), "{line}");
        for (column, wanted) in columns.iter().zip(wanted) {
            let Given { cell, said, wish, changed } = given(column, &typed);
            let done = matches!(wanted, "yes" | "?");
            let says = match (command, *column) {
                ("claim KEY", column) if column != "unowned" => "failed: this router has an owner",
                ("confirm", "session") => "failed: this session was there before the change",
                ("shell", "session") => "failed: a shell needs the cable, or a login on the router",
                ("unlock", "session-read-only") => "failed: codes are for the serial console",
                (_, "guest" | "removed") => to_guests,
                ("help", "read-only" | "session-read-only") => "show [IF]",
                ("unlock", "read-only") => to_guests,
                _ => says,
            };
            let text = said.split_whitespace().collect::<Vec<_>>().join(" ");
            let executed = says.is_empty() || text.contains(says);
            let changes = matches!(
                command,
                "revert" | "rollback wg0" | "remove wg0" | "confirm" | "claim KEY"
            );
            let changes = changes && done && !text.contains("failed:");
            let wishes = match (command, column.starts_with("session")) {
                ("shell", false) if done => Wish::Shell,
                ("exit", false) => Wish::Exit,
                _ => Wish::Nothing,
            };
            if cell != wanted || (done && !executed) || changed != changes || wish != wishes {
                wrong.push(std::format!(
                    "{command} by {column}: {cell}, not {wanted}; changed {changed}; {wish:?}; {said}"
                ));
            }
            cells += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // The table has every command.
    let all: Vec<&str> = TABLE.iter().map(|entry| entry.name).collect();
    assert_eq!(commands, all);
    std::println!("{cells} cells");
}
