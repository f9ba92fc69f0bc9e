//! Owning a topic: claims, epochs, inputs.

use backstay_log::{
    AppendError, Authority, Batch, ClaimError, ClaimMode, OwnerState, Precondition, TopicAppend,
    TopicTransition,
};
use backstay_model::event::{ClaimReason, Event};
use backstay_model::{Delivery, Epoch, Seq};

use super::index::row;
use crate::support::{Fixture, append, batch, buffered, event, events, owner, read_by, topic};

pub(crate) async fn l6_an_old_epoch_is_refused_also_when_the_numbers_fit(store: Fixture) {
    let log = store.log.as_ref();
    let first = log.register_owner(owner('A')).await.unwrap();
    let second = log.register_owner(owner('B')).await.unwrap();
    let old = log.claim(&topic("a"), first.as_ref(), ClaimMode::IfFree).await.unwrap();
    assert_eq!((old.head, old.reason), (Seq(1), ClaimReason::Unowned));
    let new = log.claim(&topic("a"), second.as_ref(), ClaimMode::TakeOver).await.unwrap();
    assert_eq!((new.head, new.reason), (Seq(2), ClaimReason::TakenOver));
    assert!(new.epoch > old.epoch, "{} after {}", new.epoch, old.epoch);
    assert_eq!(new.event.previous, Some(owner('A').owner));
    let late = TopicAppend {
        preconditions: vec![Precondition::Exactly(Seq(2))],
        ..TopicAppend::new(topic("a"), Authority::Owner(owner('A').owner, old.epoch), events(&["late"]))
    };
    let refused = log.submit(Batch::of(late)).wait();
    assert!(
        matches!(&refused, Err(AppendError::Fenced { current, owner: Some(now), .. }) if (*current, *now) == (new.epoch, owner('B').owner)),
        "{refused:?}"
    );
    log.submit(batch("a", Authority::Owner(owner('B').owner, new.epoch), &["mine"])).wait().unwrap();
    let embedder = log.submit(batch("a", Authority::Exclusive, &["x"])).wait();
    assert!(
        matches!(embedder, Err(AppendError::Owned { current, .. }) if current == new.epoch),
        "{embedder:?}"
    );
    let claim = read_by(log, "a", 10).await.swap_remove(1);
    assert_eq!(Event::decode(&claim).unwrap(), Event::from(new.event));
}

pub(crate) async fn l15_a_claim_takes_what_is_free_and_fences_who_had_it(store: Fixture) {
    let log = store.log.as_ref();
    let first = log.register_owner(owner('A')).await.unwrap();
    let second = log.register_owner(owner('B')).await.unwrap();
    let claimed = log.claim(&topic("a"), first.as_ref(), ClaimMode::IfFree).await.unwrap();
    let refused = log.claim(&topic("a"), second.as_ref(), ClaimMode::IfFree).await;
    assert!(
        matches!(&refused, Err(ClaimError::Owned { owner: who, .. }) if who.identity == owner('A') && who.is_held()),
        "{refused:?}"
    );
    assert_eq!(claimed.event.last_sign, None, "it had no owner before");
    log.submit_live(topic("a"), event("a sign of life"));
    let mut live = log.follow(&topic("a"), claimed.head);
    let sign = loop {
        if let Delivery::Live(live) = live.next().await.unwrap() {
            break live;
        }
    };
    drop(first);
    let row = log.topic(&topic("a")).await.unwrap().unwrap();
    assert_eq!(row.owner.unwrap().state, OwnerState::Dead);
    let taken = log.claim(&topic("a"), second.as_ref(), ClaimMode::IfFree).await.unwrap();
    assert_eq!(taken.reason, ClaimReason::OwnerDead);
    assert!(taken.epoch > claimed.epoch);
    assert_eq!(taken.event.last_sign, Some(sign.at), "its owner lived until then");
    let late = log.submit(batch("a", Authority::Owner(owner('A').owner, claimed.epoch), &["late"])).wait();
    assert!(matches!(late, Err(AppendError::Fenced { .. })), "{late:?}");
    let mut release = batch("a", Authority::Owner(owner('B').owner, taken.epoch), &["bye"]);
    release.appends[0].transition = TopicTransition::Released;
    log.submit(release).wait().unwrap();
    assert_eq!(log.topic(&topic("a")).await.unwrap().unwrap().owner, None);
    let again = log.claim(&topic("a"), second.as_ref(), ClaimMode::IfFree).await.unwrap();
    assert_eq!((again.reason, again.event.previous), (ClaimReason::Unowned, None));
    assert!(again.epoch > taken.epoch);
}

pub(crate) async fn l20_what_was_said_stops_a_park(store: Fixture) {
    let log = store.log.as_ref();
    let guard = log.register_owner(owner('A')).await.unwrap();
    let me = owner('A').owner;
    // Every interleaving of one park with two inputs: the owner has seen `seen` of them when it parks.
    for (name, before, seen, after) in
        [("a", 0, 0, 2), ("b", 1, 0, 1), ("c", 1, 1, 1), ("d", 2, 0, 0), ("e", 2, 1, 0), ("f", 2, 2, 0)]
    {
        let epoch = log.claim(&topic(name), guard.as_ref(), ClaimMode::IfFree).await.unwrap().epoch;
        let say = || log.submit(batch(name, Authority::Input, &["said"])).wait().unwrap();
        (0..before).for_each(|_| drop(say()));
        let park = |seen: u64| {
            let append = TopicAppend::new(topic(name), Authority::Owner(me, epoch), events(&["parked"]));
            Batch::of(TopicAppend {
                preconditions: vec![Precondition::NoInputAfter(Seq(1 + seen))],
                transition: TopicTransition::Released,
                index: Some(row("run", "waiting", None)),
                ..append
            })
        };
        let parked = log.submit(park(seen)).wait();
        if before == seen {
            parked.unwrap();
        } else {
            assert!(
                matches!(parked, Err(AppendError::NewerInput { input, .. }) if input == Seq(1 + before)),
                "{name}: {parked:?}"
            );
            log.submit(park(before)).wait().unwrap();
        }
        (0..after).for_each(|_| drop(say()));
        let woken = log.topic(&topic(name)).await.unwrap().unwrap().index.unwrap().wake_at.is_some();
        assert_eq!(woken, after > 0, "{name}: what was said after the park wakes");
    }
}

pub(crate) async fn l20_a_thousand_inputs_refuse_no_owner(store: Fixture) {
    let log = store.log.clone();
    let guard = log.register_owner(owner('A')).await.unwrap();
    let epoch = log.claim(&topic("a"), guard.as_ref(), ClaimMode::IfFree).await.unwrap().epoch;
    let said = {
        let log = log.clone();
        std::thread::spawn(move || {
            let tickets: Vec<_> =
                (0..1_000).map(|_| log.submit(batch("a", Authority::Input, &["said"]))).collect();
            tickets.into_iter().for_each(|ticket| drop(ticket.wait().unwrap()));
        })
    };
    let mut subscription = log.follow(&topic("a"), Seq(1));
    let mut settled = 0;
    while settled < 1_000 {
        let Delivery::Event(event) = subscription.next().await.unwrap() else { panic!("not an event") };
        if event.payload.as_str() == "\"said\"" {
            let verdict = batch("a", Authority::Owner(owner('A').owner, epoch), &["settled"]);
            log.submit(buffered(verdict)).await.unwrap();
            settled += 1;
        }
    }
    said.join().unwrap();
    assert_eq!(log.head(&topic("a")).await.unwrap(), Seq(2_001));
}

pub(crate) async fn l20_an_inbox_has_an_end(store: Fixture) {
    let log = store.log.as_ref();
    let said: Vec<_> = std::iter::repeat_n("x", 1_000).collect();
    for _ in 0..10 {
        log.submit(buffered(batch("a", Authority::Input, &said))).wait().unwrap();
    }
    let refused = log.submit(batch("a", Authority::Input, &["one more"])).wait();
    assert!(matches!(refused, Err(AppendError::InboxFull { .. })), "{refused:?}");
    append(log, "a", &["a fact"]);
    log.submit(batch("a", Authority::Input, &["one more"])).wait().unwrap();
}

pub(crate) async fn l15_every_epoch_is_greater_than_the_one_before(store: Fixture) {
    let log = store.log.as_ref();
    let guard = log.register_owner(owner('A')).await.unwrap();
    let mut last = Epoch(0);
    for _ in 0..8 {
        let claimed = log.claim(&topic("a"), guard.as_ref(), ClaimMode::IfFree).await.unwrap();
        assert!(claimed.epoch > last, "{} after {last}", claimed.epoch);
        last = claimed.epoch;
        let mut release = batch("a", Authority::Owner(owner('A').owner, claimed.epoch), &["bye"]);
        release.appends[0].transition = TopicTransition::Released;
        log.submit(release).wait().unwrap();
    }
}

pub(crate) async fn l15_a_guard_that_is_lost_claims_nothing_and_what_it_owned_is_free(store: Fixture) {
    let log = store.log.as_ref();
    let first = log.register_owner(owner('A')).await.unwrap();
    let second = log.register_owner(owner('B')).await.unwrap();
    let claimed = log.claim(&topic("a"), first.as_ref(), ClaimMode::IfFree).await.unwrap();
    assert!(!first.is_lost());
    store.lose(owner('A').owner);
    let refused = log.claim(&topic("b"), first.as_ref(), ClaimMode::IfFree).await;
    assert!(matches!(refused, Err(ClaimError::NotRegistered(_))), "{refused:?}");
    let state = log.topic(&topic("a")).await.unwrap().unwrap().owner.unwrap().state;
    let expected = match state {
        OwnerState::Dead => ClaimReason::OwnerDead,
        OwnerState::SessionGone => ClaimReason::SessionGone,
        OwnerState::Held => panic!("its proof is lost"),
    };
    assert!(first.is_lost(), "it says so before anybody else can own what it owned");
    let taken = log.claim(&topic("a"), second.as_ref(), ClaimMode::IfFree).await.unwrap();
    assert_eq!(taken.reason, expected);
    let late = log.submit(batch("a", Authority::Owner(owner('A').owner, claimed.epoch), &["late"])).wait();
    assert!(matches!(late, Err(AppendError::Fenced { .. })), "{late:?}");
    assert!(first.is_lost() && !second.is_lost());
}
