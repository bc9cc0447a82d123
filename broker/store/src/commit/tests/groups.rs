//! Groups of batches, as they are reported.

use super::*;

#[test]
fn a_sync_is_reported_to_each_shard_behind_its_commits() {
    let (committer, told) = start(Scripted::default(), None);
    for ticket in 1..=300 {
        committer.submit(Batch { shard: ShardId(ticket as u16 % 3), ..urgent(ticket) });
    }
    committer.close().unwrap();
    drop(committer);
    let (mut committed, mut synced) = (0, [0; 3]);
    for told in told {
        match told {
            Told::Committed(group, _) => committed = group[group.len() - 1],
            Told::Synced(up_to) => {
                for (shard, ticket) in up_to {
                    assert!(synced[usize::from(shard)] < ticket && ticket <= committed);
                    synced[usize::from(shard)] = ticket;
                }
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((committed, synced), (300, [300, 298, 299]));
}

#[test]
fn a_group_is_bounded() {
    let (committer, told) = start(Scripted::default(), None);
    let batches = 3 * GROUP_BATCHES_MAX as u64;
    for ticket in 0..batches {
        committer.submit(batch(ticket));
    }
    committer.close().unwrap();
    drop(committer);
    let mut reported = 0;
    for told in told {
        let Told::Committed(tickets, _) = told else { panic!("{told:?}") };
        assert!(tickets.len() <= GROUP_BATCHES_MAX);
        reported += tickets.len() as u64;
    }
    assert_eq!(reported, batches);
}
