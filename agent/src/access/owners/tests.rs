use super::*;
use crate::store::keep::Wrong;
use crate::testing::Drawer;

const ANNE: PublicKey = PublicKey([1; 32]);
const BEN: PublicKey = PublicKey([2; 32]);
const HASH: [u8; 32] = [7; 32];

fn name(text: &str) -> OwnerName {
    OwnerName::try_from(text).unwrap()
}

fn owner(key: PublicKey, role: Role) -> Owner {
    Owner { key, role, name: name("somebody with a name of 31 byte") }
}

fn labelled<'f>(keep: &'f mut Drawer, state: &'f mut Drawer) -> Ownership<'f> {
    let mut ownership = Ownership::load(keep, state);
    ownership.set_label(label());
    ownership
}

fn label() -> LabelKey {
    LabelKey::of("ABCD-EFGH-IJKL-MNOP").unwrap()
}

fn claim(ownership: &mut Ownership<'_>, wire: Wire, proof: Option<[u8; 32]>) -> Result<(), Code> {
    let slot = Slot::default();
    let claimant = Claimant { key: ANNE, name: &name("anne"), wire, proof, handshake_hash: &HASH };
    ownership.claim(&slot, &claimant).map_err(|fault| slot.take(fault).code)
}

fn code(slot: &Slot, outcome: Result<(), Fault>) -> Option<Code> {
    outcome.err().map(|fault| slot.take(fault).code)
}

#[test]
fn a_claim_over_serial_needs_no_secret_and_is_the_only_one() {
    let (mut keep, mut state) = (Drawer::default(), Drawer::default());
    let mut ownership = Ownership::load(&mut keep, &mut state);
    assert_eq!(ownership.standing(&ANNE, Wire::Serial), Standing::Candidate);
    assert_eq!(ownership.standing(&ANNE, Wire::Udp), Standing::Stranger);
    claim(&mut ownership, Wire::Serial, None).unwrap();
    assert_eq!(ownership.standing(&ANNE, Wire::Udp), Standing::Owner(Role::Admin));
    assert_eq!(ownership.standing(&BEN, Wire::Serial), Standing::Stranger);
    assert_eq!(claim(&mut ownership, Wire::Serial, None), Err(Code::Claimed));
}

#[test]
fn a_claim_over_udp_takes_the_secret_once() {
    let (mut keep, mut state) = (Drawer::default(), Drawer::default());
    let mut ownership = Ownership::load(&mut keep, &mut state);
    let proof = Some(label().proof(&HASH));
    assert_eq!(claim(&mut ownership, Wire::Udp, proof), Err(Code::Proof), "no label");
    drop(ownership);
    let mut ownership = labelled(&mut keep, &mut state);
    assert_eq!(ownership.standing(&ANNE, Wire::Udp), Standing::Candidate);
    for wrong in [None, Some([0; 32]), Some(label().proof(&[8; 32]))] {
        assert_eq!(claim(&mut ownership, Wire::Udp, wrong), Err(Code::Proof));
    }
    claim(&mut ownership, Wire::Udp, proof).unwrap();
    drop(ownership);
    reset(&mut keep, None).unwrap();
    let mut ownership = labelled(&mut keep, &mut state);
    assert_eq!(claim(&mut ownership, Wire::Udp, proof), Err(Code::Proof), "it is spent");
    assert_eq!(ownership.standing(&ANNE, Wire::Udp), Standing::Stranger);
    claim(&mut ownership, Wire::Serial, None).unwrap();
}

#[test]
fn a_claim_over_serial_spends_the_secret_too() {
    let (mut keep, mut state) = (Drawer::default(), Drawer::default());
    let mut ownership = labelled(&mut keep, &mut state);
    claim(&mut ownership, Wire::Serial, None).unwrap();
    drop(ownership);
    reset(&mut keep, None).unwrap();
    let ownership = labelled(&mut keep, &mut state);
    assert!(ownership.label().is_none());
}

#[test]
fn one_admin_stays() {
    let slot = Slot::default();
    let (mut keep, mut state) = (Drawer::default(), Drawer::default());
    let mut ownership = Ownership::load(&mut keep, &mut state);
    claim(&mut ownership, Wire::Serial, None).unwrap();
    ownership.add(&slot, &owner(BEN, Role::ReadOnly)).unwrap();
    let last = Some(Code::LastAdmin);
    assert_eq!(code(&slot, ownership.remove(&slot, &ANNE)), last);
    assert_eq!(code(&slot, ownership.add(&slot, &owner(ANNE, Role::ReadOnly))), last);
    assert_eq!(ownership.len(), 2);
    ownership.add(&slot, &owner(BEN, Role::Admin)).unwrap();
    ownership.remove(&slot, &ANNE).unwrap();
    assert_eq!(ownership.standing(&ANNE, Wire::Serial), Standing::Stranger);
    assert_eq!(code(&slot, ownership.remove(&slot, &ANNE)), Some(Code::NoOwner));
}

#[test]
fn the_list_is_as_long_as_it_may_be_and_is_read_back() {
    let slot = Slot::default();
    let (mut keep, mut state) = (Drawer::default(), Drawer::default());
    let mut ownership = Ownership::load(&mut keep, &mut state);
    for n in 0..16 {
        ownership.add(&slot, &owner(PublicKey([n; 32]), Role::Admin)).unwrap();
    }
    let more = ownership.add(&slot, &owner(PublicKey([16; 32]), Role::Admin));
    assert_eq!(code(&slot, more), Some(Code::Full));
    let before = ownership.owners().clone();
    drop(ownership);
    let ownership = Ownership::load(&mut keep, &mut state);
    assert_eq!((ownership.len(), ownership.owners()), (16, &before));
}

#[test]
fn a_change_that_cannot_be_kept_is_none() {
    let slot = Slot::default();
    let (mut keep, mut state) = (Drawer::default(), Drawer::default());
    keep.full.set(true);
    let mut ownership = Ownership::load(&mut keep, &mut state);
    assert_eq!(claim(&mut ownership, Wire::Serial, None), Err(Code::Storage));
    assert!(ownership.is_empty());
    assert_eq!(code(&slot, ownership.add(&slot, &owner(ANNE, Role::Admin))), Some(Code::Storage));
}

#[test]
fn a_damaged_list_lets_nobody_claim() {
    let (mut keep, mut state) = (Drawer::default(), Drawer::default());
    reset(&mut keep, Some(ANNE)).unwrap();
    let whole = keep.bytes(OWNERS.name);
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        keep.put(OWNERS.name, &damaged);
        let error = Ownership::load(&mut keep, &mut state).trouble().unwrap();
        assert_eq!(error.wrong, Wrong::Damaged, "{at}");
    }
    reset(&mut keep, None).unwrap();
    assert!(Ownership::load(&mut keep, &mut state).is_empty());
}

#[test]
fn a_list_that_cannot_be_read_for_a_while_opens_the_router_to_nobody() {
    let (mut keep, mut state) = (Drawer::default(), Drawer::default());
    reset(&mut keep, Some(ANNE)).unwrap();
    let broken = keep.broken.clone();
    let mut ownership = labelled(&mut keep, &mut state);
    broken.set(true);
    ownership.refresh();
    assert_eq!(ownership.standing(&ANNE, Wire::Serial), Standing::Stranger);
    assert_eq!(ownership.standing(&BEN, Wire::Serial), Standing::Stranger);
    assert!(!ownership.is_empty() && ownership.label().is_none());
    broken.set(false);
    ownership.refresh();
    assert_eq!(ownership.standing(&ANNE, Wire::Serial), Standing::Owner(Role::Admin));
}

#[test]
fn an_absurd_stamp_locks_nobody_out() {
    let (mut keep, mut state) = (Drawer::default(), Drawer::default());
    reset(&mut keep, Some(ANNE)).unwrap();
    let mut ownership = Ownership::load(&mut keep, &mut state);
    for absurd in [0, (1 << 48) + 1, 1 << 63, u64::MAX] {
        assert_eq!(ownership.take_stamp(&ANNE, absurd), Err(0), "{absurd}");
    }
    // Ten years ahead, and as far as can be.
    let now = 1_700_000_000_000;
    assert_eq!(ownership.take_stamp(&ANNE, now + 315_360_000_000), Ok(()));
    assert_eq!(ownership.take_stamp(&ANNE, now), Err(now + 315_360_000_000));
    let last = now + 315_360_000_000;
    assert_eq!(ownership.take_stamp(&ANNE, last + (1 << 48) + 1), Err(last));
    assert_eq!(ownership.take_stamp(&ANNE, last + (1 << 48)), Ok(()));
    assert_eq!(
        ownership.take_stamp(&ANNE, last + (1 << 48) + 1),
        Ok(()),
        "there is always a next one"
    );
}

#[test]
fn a_stamp_counts_once_also_after_a_restart() {
    let (mut keep, mut state) = (Drawer::default(), Drawer::default());
    reset(&mut keep, Some(ANNE)).unwrap();
    let mut ownership = Ownership::load(&mut keep, &mut state);
    assert_eq!(ownership.take_stamp(&ANNE, 5), Ok(()));
    assert_eq!(ownership.take_stamp(&ANNE, 6), Ok(()));
    assert_eq!(ownership.take_stamp(&ANNE, 6), Err(6));
    assert_eq!(ownership.take_stamp(&ANNE, 5), Err(6));
    assert_eq!(ownership.take_stamp(&BEN, 5), Ok(()), "not an owner's");
    assert_eq!(ownership.take_stamp(&BEN, 5), Ok(()));
    drop(ownership);
    let mut ownership = Ownership::load(&mut keep, &mut state);
    assert_eq!(ownership.take_stamp(&ANNE, 6), Err(6));
    assert_eq!(ownership.take_stamp(&ANNE, 7), Ok(()));
}
