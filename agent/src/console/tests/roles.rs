//! The permission of each person for each command, cell by cell.

use std::string::String;
use std::vec::Vec;

use proto_core::protocol::VERSION;
use proto_core::protocol::message::{Answer, Ask, Role};

use super::rig::{ANNE, BEN, Rig, ask_as, key, owned, push, push_to, with_router};
use crate::access::owners::Standing;
use crate::console::words::TABLE;
use crate::fault::Slot;
use crate::testing::Router;

/// `yes`: executed, or fails for another reason. `?`: executed after `yes` is typed. `guest` and
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

fn cell(output: &str) -> &'static str {
    let text = output.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.contains("failed: this console is a guest") {
        "guest"
    } else if text.contains("failed: your role may look at this router but not change it") {
        "look"
    } else if text.contains("are you sure?") {
        "?"
    } else {
        assert!(
            !text.contains("is a guest;") || text.contains("help") || text.contains("agent"),
            "{text}"
        );
        "yes"
    }
}

/// Executes a command in a session. Returns the output.
fn in_session(rig: &mut Rig<'_, '_>, line: &str, standing: Standing) -> String {
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

/// Executes a command as the person of this column. Returns the output.
fn given(column: &str, line: &str) -> String {
    let router = Router::default();
    push(&router, 0, 1, 0);
    push(&router, 0, 2, 0);
    let owners = (column != "unowned").then(owned);
    let serial = column != "root";
    with_router(&router, owners, serial, |rig| {
        // A change that waits to be confirmed, and one to go back to: what has no effect is not asked back.
        push_to(rig.agent.service_mut(), 0, 3, 60);
        match column {
            "admin" => drop(rig.unlock(ANNE, Role::Admin)),
            "read-only" => drop(rig.unlock(BEN, Role::ReadOnly)),
            "removed" => {
                let shown = rig.unlock(BEN, Role::ReadOnly);
                assert!(rig.run("owners").contains("ben"), "{shown}");
                let slot = Slot::default();
                rig.agent.ownership_mut().remove(&slot, &key(BEN).public()).unwrap();
            }
            "session" => return in_session(rig, line, Standing::Owner(Role::Admin)),
            "session-read-only" => return in_session(rig, line, Standing::Owner(Role::ReadOnly)),
            _ => {}
        }
        rig.run("more off");
        rig.person.sent.clear();
        rig.run(line);
        String::from_utf8_lossy(&rig.person.sent).replace("\r\n", "\n")
    })
}

#[test]
fn each_person_may_give_the_commands_of_the_table_and_no_others() {
    let mut lines = WANTED.lines().filter(|line| !line.is_empty());
    let columns: Vec<&str> = lines.next().unwrap().split_whitespace().skip(1).collect();
    let (mut commands, mut wrong, mut cells) = (Vec::new(), Vec::new(), 0);
    for line in lines {
        let (command, rest) = line.split_at(19);
        commands.push(command.split_whitespace().next().unwrap());
        let command = command.trim().replace("KEY", &std::format!("{}", key(9).public()));
        let wanted: Vec<&str> = rest.split_whitespace().collect();
        assert_eq!(wanted.len(), columns.len(), "{line}");
        for (column, wanted) in columns.iter().zip(wanted) {
            let found = cell(&given(column, &command));
            if found != wanted {
                wrong.push(std::format!("{command} by {column}: {found}, not {wanted}"));
            }
            cells += 1;
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // The table has every command.
    let all: Vec<&str> = TABLE.iter().map(|entry| entry.name).collect();
    assert_eq!(commands, all);
    std::println!("{cells} cells");
}
