use super::*;

fn me() -> Holder {
    Holder::of(std::process::id()).unwrap()
}

#[test]
fn two_tables_on_one_directory_never_give_the_same_slot() {
    let directory = tempfile::tempdir().unwrap();
    let one = Arc::new(Table::open(directory.path()).unwrap());
    let two = Arc::new(Table::open(directory.path()).unwrap());
    let mut leases: Vec<_> = (0..50)
        .map(|n| if n % 2 == 0 { &one } else { &two })
        .map(|table| table.take(me(), 1).unwrap())
        .collect();
    let mut slots: Vec<_> = leases.iter().map(Lease::slot).collect();
    slots.sort_unstable();
    slots.dedup();
    assert_eq!(slots.len(), 50);
    let freed = leases.pop().unwrap();
    let number = freed.slot();
    drop(freed);
    assert_ne!(one.take(me(), 1).unwrap().slot(), number);
}

#[test]
fn a_full_table_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let table = Arc::new(Table::open(directory.path()).unwrap());
    let leases: Vec<_> = (1..SLOTS).map(|_| table.take(me(), 1).unwrap()).collect();
    assert!(matches!(table.take(me(), 1), Err(LeaseError::Full)));
    drop(leases);
    assert!(table.take(me(), 1).is_ok());
}

#[test]
fn no_more_are_taken_than_there_may_be() {
    let directory = tempfile::tempdir().unwrap();
    let table = Arc::new(Table::open(directory.path()).unwrap());
    let one = table.take_of(me(), 1, 1).unwrap();
    let refused = table.take_of(me(), 1, 1);
    assert!(matches!(refused, Err(LeaseError::Most { most: 1 })));
    drop(one);
    assert!(table.take_of(me(), 1, 1).is_ok());
}

#[test]
fn slots_of_the_dead_are_freed_once_they_are_clean() {
    let directory = tempfile::tempdir().unwrap();
    let table = Arc::new(Table::open(directory.path()).unwrap());
    let mine = table.take(me(), 1).unwrap();
    let dead = Holder {
        started: me().started + 1,
        ..me()
    };
    let theirs = table.take(dead, 7).unwrap();
    assert_eq!(table.reclaim(|_| false).unwrap(), Vec::<u32>::new());
    assert_eq!(
        table.reclaim(|record| record.engine == 7).unwrap(),
        [theirs.slot()]
    );
    let left = Record {
        slot: mine.slot(),
        holder: me(),
        engine: 1,
    };
    assert_eq!(table.held().unwrap(), [left]);
    assert_eq!(read(&std::fs::read(&table.path).unwrap()), [left]);
    assert_eq!(read(b"cut short"), []);
}

#[test]
fn a_table_of_another_boot_is_emptied() {
    let directory = tempfile::tempdir().unwrap();
    let table = Arc::new(Table::open(directory.path()).unwrap());
    table.take(me(), 1).unwrap().leave();
    rustix::io::pwrite(&table.file, b"another boot", 0).unwrap();
    assert_eq!(Table::open(directory.path()).unwrap().held().unwrap(), []);
}

#[test]
fn a_slot_that_was_reclaimed_is_not_freed_again_by_who_held_it() {
    let directory = tempfile::tempdir().unwrap();
    let table = Arc::new(Table::open(directory.path()).unwrap());
    let dead = Holder {
        started: me().started + 1,
        ..me()
    };
    let theirs = table.take(dead, 7).unwrap();
    let _others: Vec<_> = (2..SLOTS).map(|_| table.take(me(), 1).unwrap()).collect();
    assert_eq!(table.reclaim(|_| true).unwrap(), [theirs.slot()]);
    let mine = table.take(me(), 1).unwrap();
    assert_eq!(mine.slot(), theirs.slot());
    drop(theirs);
    assert!(matches!(table.take(me(), 1), Err(LeaseError::Full)));
    drop(mine);
    assert!(table.take(me(), 1).is_ok());
}
