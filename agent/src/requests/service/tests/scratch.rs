//! Scratch files that fail at any access.

use super::*;

/// What an owner asks for in [`whatever_scratch_file_fails_the_answer_says_what_happened`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wanted {
    Push,
    PushPending,
    Remove,
    Rollback,
    Repair,
    Revert,
}

/// Makes the request on a router whose scratch files fail at an access. Returns whether that access came, and the
/// state of the interface before and after, and the answer.
fn with_failing_scratch(
    wanted: Wanted,
    step: usize,
    mishap: Mishap,
) -> (bool, [String; 2], Answer<'static>, Router) {
    let mut run = super::super::model::Run::new(&std::rc::Rc::default(), None);
    let router = run.router.clone();
    let interface = name();
    let (reached, states, answer) = router.with(|agent| {
        agent.start();
        run.hello(agent);
        for port in [1, 2] {
            run.push(agent, 0, port, 0);
        }
        match wanted {
            Wanted::Repair => router.world.meddle("wg0", |device| device.peers.clear()),
            Wanted::Revert => drop(run.push(agent, 0, 3, 60)),
            _ => {}
        }
        let before = router.content(0);
        router.ram.mishap(step, mishap);
        let answer = match wanted {
            Wanted::Push => run.push(agent, 0, 3, 0),
            Wanted::PushPending => run.push(agent, 0, 3, 60),
            Wanted::Remove => run.ask(agent, 1, 1, Ask::Remove { interface, confirm_within: 0 }),
            Wanted::Rollback => {
                run.ask(agent, 1, 1, Ask::Rollback { interface, number: 1, confirm_within: 0 })
            }
            Wanted::Repair => run.ask(agent, 1, 1, Ask::Repair { interface, confirm_within: 0 }),
            Wanted::Revert => run.ask(agent, 1, 1, Ask::Revert),
        };
        let reached = router.ram.left().is_none();
        router.ram.mend();
        (reached, [before, router.content(0)], answer)
    });
    (reached, states, answer, router)
}

#[test]
fn whatever_scratch_file_fails_the_answer_says_what_happened() {
    use Wanted::*;
    let mut failures = 0;
    for wanted in [Push, PushPending, Remove, Rollback, Repair, Revert] {
        let never = Mishap::Fails(Errno::EIO);
        let (_, [_, after], _, done) = with_failing_scratch(wanted, usize::MAX / 2, never);
        // What the next agent applies.
        let restarted = |router: &Router| {
            router.with(|agent| agent.start());
            router.content(0)
        };
        let after_restart = restarted(&done);
        for mishap in [Mishap::Fails(Errno::EIO), Mishap::Torn(Errno::ENOSPC)] {
            for step in 0.. {
                let (reached, [before, now], answer, router) =
                    with_failing_scratch(wanted, step, mishap);
                if !reached {
                    break;
                }
                let what = format!("{wanted:?} {mishap:?} at {step}: {answer:?}");
                let stored = restarted(&router);
                match &answer {
                    Answer::Failed(failure) => {
                        failures += 1;
                        assert_ne!(failure.state, State::Partly, "{what}");
                        let waits = wanted == Revert;
                        assert_eq!(now, before, "{what}");
                        assert!(waits || wanted == Repair || stored == before, "{what}");
                    }
                    Answer::Applied(_) | Answer::Reverted { .. } => {
                        assert_eq!((now, stored), (after.clone(), after_restart.clone()), "{what}");
                    }
                    _ => panic!("{what}"),
                }
            }
        }
    }
    println!("{failures} failures");
    assert!(failures > 100, "{failures}");
}
