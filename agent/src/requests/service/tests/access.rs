//! Requests of owners, candidates and strangers, and what belongs to whom.

use super::*;

#[test]
fn who_may_ask_for_what() {
    use Standing::{Candidate, Owner, Stranger};
    let interface = name();
    let (key, role, name) = (PublicKey([2; 32]), Role::ReadOnly, "ben".try_into().unwrap());
    // Whether an admin, a reader, a candidate may; a stranger may not.
    let table: [(Ask<'_>, [bool; 3]); 22] = [
        (Ask::Hello { min: 1, max: 1, features: 0 }, [true, true, true]),
        (Ask::Status, [true, true, true]),
        (begin(b"image"), [true, false, false]),
        (Ask::Piece { stage: 1, index: 0, data: b"image" }, [true, false, false]),
        (Ask::Plan { stage: 1 }, [true, false, false]),
        (Ask::Commit { stage: 1, confirm_within: 0, adopt: false }, [true, false, false]),
        (Ask::Abort { stage: 1 }, [true, false, false]),
        (Ask::Show { interface }, [true, true, false]),
        (Ask::Changes { stage: 1 }, [true, true, false]),
        (Ask::Read { file: 1, offset: 0, length: 1 }, [true, true, false]),
        (Ask::Remove { interface, confirm_within: 0 }, [true, false, false]),
        (Ask::Confirm, [true, false, false]),
        (Ask::Revert, [true, false, false]),
        (Ask::History { interface: None }, [true, true, false]),
        (Ask::Drift { interface }, [true, true, false]),
        (Ask::Repair { interface, confirm_within: 0 }, [true, false, false]),
        (Ask::Rollback { interface, number: 1, confirm_within: 0 }, [true, false, false]),
        (Ask::Claim { name: "anne".try_into().unwrap(), proof: None }, [true, false, true]),
        (Ask::Owners, [true, true, false]),
        (Ask::AddOwner { key, role, name }, [true, false, false]),
        (Ask::RemoveOwner { key }, [true, false, false]),
        (Ask::Console { line: b"help" }, [true, true, false]),
    ];
    for (ask, expected) in table {
        let standings = [Owner(Role::Admin), Owner(Role::ReadOnly), Candidate];
        let may = standings.map(|standing| {
            let mut may = None;
            agent(|agent, _| {
                let answer = as_one(agent, ADMIN, standing, &packet(1, 1, ask.clone()));
                may = Some(match answer.unwrap() {
                    Answer::Failed(failure) => {
                        !matches!(failure.code, Code::Forbidden | Code::Unclaimed)
                    }
                    _ => true,
                });
                let silent = as_one(agent, ADMIN, Stranger, &packet(2, 1, ask.clone()));
                assert!(silent.is_none(), "{ask:?}");
            });
            may.unwrap()
        });
        assert_eq!(may, expected, "{ask:?}");
    }
}

#[test]
fn an_unowned_router_identifies_itself_only_at_its_cable() {
    use Standing::{Candidate, Local, Owner};
    let router = Router::default();
    let macs = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];
    router.world.plug("lan1", macs[0]);
    router.world.plug("lan2", macs[0]);
    router.world.plug("wan", macs[1]);
    let asked = |wire, standing| {
        router.with(|agent| {
            let (mut keep, mut state) = (Drawer::default(), Drawer::default());
            let mut ownership = Ownership::load(&mut keep, &mut state);
            let mut visitor = client::visitor(ADMIN, standing, (1, 1), &mut ownership);
            visitor.wire = wire;
            let mut sent = Sent::default();
            let _ = agent.packet(&packet(1, 1, Ask::Status), &mut visitor, &mut sent);
            let (_, reply) = envelope::read::<Reply<'_>>(&sent.0[0], |_| true).unwrap();
            match reply.answer {
                Answer::Status(status) => (status.serial_number.to_string(), status.macs.to_vec()),
                other => panic!("{other:?}"),
            }
        })
    };
    let all = ("8J0042".to_string(), macs.to_vec());
    assert_eq!(asked(Wire::Serial, Candidate), all);
    assert_eq!(asked(Wire::Serial, Local), all);
    assert_eq!(asked(Wire::Udp, Owner(Role::ReadOnly)), all);
    assert_eq!(asked(Wire::Udp, Candidate), (String::new(), Vec::new()));
}

#[test]
fn a_kept_reply_is_not_for_somebody_else() {
    agent(|agent, _| {
        let asked = packet(1, 1, begin(b"image"));
        assert!(as_one(agent, ADMIN, Standing::Owner(Role::Admin), &asked).is_some());
        let other = PublicKey([2; 32]);
        assert!(as_one(agent, other, Standing::Stranger, &asked).is_none());
        assert!(as_one(agent, ADMIN, Standing::Stranger, &asked).is_some());
    });
}

#[test]
fn a_stage_and_a_file_belong_to_the_key_and_not_to_the_client_s_number() {
    agent(|agent, _| {
        let image = image();
        let stage = upload(agent, 1, begin(&image), &image);
        let ben = PublicKey([2; 32]);
        let admin = Standing::Owner(Role::Admin);
        for ask in [
            Ask::Abort { stage },
            Ask::Piece { stage, index: 0, data: &image },
            Ask::Plan { stage },
            Ask::Changes { stage },
        ] {
            let failure = failure(as_one(agent, ben, admin, &packet(1, 7, ask)));
            assert_eq!(failure.code, Code::Gone);
        }
        // A reader's file does not take the place of an admin's.
        let history = |id| packet(1, id, Ask::History { interface: None });
        let Some(Answer::Ready { file, .. }) = answer(agent, &history(10)) else { panic!() };
        let reader = Standing::Owner(Role::ReadOnly);
        assert!(as_one(agent, ben, reader, &history(20)).is_some());
        let read = packet(1, 11, Ask::Read { file, offset: 0, length: 100 });
        assert!(matches!(answer(agent, &read), Some(Answer::Data { .. })));
        let stolen = as_one(agent, ben, reader, &read);
        assert_eq!(failure(stolen).code, Code::Gone);
    });
}

#[test]
fn a_stage_is_not_held_by_a_client_that_sends_nothing_new() {
    agent(|agent, bench| {
        let image = image();
        let stage = upload(agent, 1, begin(&image), &image);
        let other = [image.clone(), image.clone()].concat();
        // It asks for the status and repeats a piece for a while.
        for second in 0..13 {
            bench.now.set(second * 1_000);
            answer(agent, &packet(1, 90, Ask::Status));
            answer(agent, &packet(1, 91, Ask::Piece { stage, index: 0, data: &image }));
        }
        bench.now.set(crate::requests::stage::PATIENCE);
        let free = answer(agent, &packet(2, 2, begin(&other)));
        assert!(matches!(free, Some(Answer::Received { .. })), "{free:?}");
    });
}
