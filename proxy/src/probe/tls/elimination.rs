//! What somebody takes of a list, found by their choices: all is offered, what they choose is removed, and the rest is
//! offered again until they refuse. So there is one question more than there are things that they take.

/// The answer to one offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Choice {
    /// This one was chosen.
    Took(u16),
    /// None of them is taken.
    Refused,
    /// There was no answer, for this reason.
    Unanswered(String),
}

/// What came of all offers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Eliminated {
    /// What is taken, in the order in which it was chosen.
    pub(super) taken: Vec<u16>,
    /// Why it was given up before a refusal.
    pub(super) given_up: Option<String>,
}

/// Offers `candidates` to `choose` until they are refused or used up.
pub(super) async fn eliminate(
    mut candidates: Vec<u16>,
    choose: impl AsyncFn(&[u16]) -> Choice,
) -> Eliminated {
    let mut found = Eliminated::default();
    while !candidates.is_empty() {
        match choose(&candidates).await {
            Choice::Took(chosen) if candidates.contains(&chosen) => {
                candidates.retain(|&candidate| candidate != chosen);
                found.taken.push(chosen);
            }
            // Who chooses what was not offered does not go by the offer: there is nothing more to learn.
            Choice::Took(_) | Choice::Refused => break,
            Choice::Unanswered(reason) => {
                found.given_up = Some(reason);
                break;
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::Cell;

    #[tokio::test]
    async fn what_was_found_before_a_silence_stands() {
        let asked = Cell::new(0);
        let found = eliminate(vec![1, 2, 3], async |offer| {
            asked.set(asked.get() + 1);
            if asked.get() == 2 { Choice::Unanswered("silence".to_owned()) } else { Choice::Took(offer[2]) }
        })
        .await;
        assert_eq!(found, Eliminated { taken: vec![3], given_up: Some("silence".to_owned()) });
    }

    #[tokio::test]
    async fn who_chooses_what_was_not_offered_is_not_asked_for_ever() {
        let found = eliminate(vec![1, 2, 3], async |_| Choice::Took(2)).await;
        assert_eq!(found, Eliminated { taken: vec![2], given_up: None });
    }

    proptest! {
        #[test]
        fn any_set_and_any_preference_are_found(
            preference in Just((0..40u16).collect::<Vec<_>>()).prop_shuffle(),
            count in 0usize..41,
            by_offer in any::<bool>(),
        ) {
            let preference = &preference[..count];
            let asked = Cell::new(0);
            let found = futures_util::FutureExt::now_or_never(eliminate((0..40).collect(), async |offer| {
                asked.set(asked.get() + 1);
                let first = if by_offer {
                    offer.iter().find(|suite| preference.contains(suite))
                } else {
                    preference.iter().find(|suite| offer.contains(suite))
                };
                first.map_or(Choice::Refused, |&suite| Choice::Took(suite))
            })).unwrap();
            let mut expected = preference.to_vec();
            if by_offer {
                expected.sort_unstable();
            }
            prop_assert_eq!(found, Eliminated { taken: expected, given_up: None });
            prop_assert_eq!(asked.get(), (count + 1).min(40));
        }
    }
}
