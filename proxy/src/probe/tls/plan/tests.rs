use super::super::MOST_CONNECTIONS;
use super::*;
use crate::trace::How;
use crate::wire::tls::{ServerHello, ServerKeyExchange};
use futures_util::FutureExt;
use proptest::prelude::*;
use std::cell::Cell;
use std::collections::BTreeMap;

/// A server that is nothing but its settings.
#[derive(Debug, Clone, Default)]
struct Simulated {
    /// What each version takes, best first.
    suites: BTreeMap<u16, Vec<u16>>,
    own_order: bool,
    /// Best first.
    groups: Vec<u16>,
    /// What TLS 1.3 and 1.2 sign with, best first.
    schemes: [Vec<u16>; 2],
    /// The alert for a version that it does not take; none closes the connection.
    refusal: Option<u8>,
    /// Silent from this hello on.
    silent_from: Option<u32>,
    asked: Cell<u32>,
}

impl Simulated {
    fn answer(&self, offer: &HelloOffer) -> Answered {
        self.asked.set(self.asked.get() + 1);
        if self.silent_from.is_some_and(|first| self.asked.get() >= first) {
            return HelloAnswer::Silent.into();
        }
        let version = offer.versions.iter().copied().max().unwrap_or(offer.legacy_version);
        let Some(suites) = self.suites.get(&version) else {
            return match self.refusal {
                Some(description) => HelloAnswer::Alert { description, name: description.to_string() }.into(),
                None => HelloAnswer::Closed { how: How::Reset }.into(),
            };
        };
        let group = self.choose(&self.groups, &offer.groups);
        let needs_group = |suite: u16| version == TLS_1_3 || catalogue::is_ecdhe(suite);
        let usable: Vec<u16> =
            suites.iter().copied().filter(|&suite| group.is_some() || !needs_group(suite)).collect();
        let Some(suite) = self.choose(&usable, &offer.suites) else {
            return HelloAnswer::Alert { description: 40, name: "handshake_failure".to_owned() }.into();
        };
        if version == TLS_1_3 && group.is_some_and(|group| !offer.key_shares.contains(&group)) {
            return asked_again(suite, group);
        }
        let signs = version == TLS_1_3 || version == TLS_1_2 && catalogue::has_server_key_exchange(suite);
        let schemes = &self.schemes[usize::from(version == TLS_1_2)];
        let scheme = self.choose(schemes, &offer.signature_schemes);
        if signs && scheme.is_none() {
            return HelloAnswer::Alert { description: 40, name: "handshake_failure".to_owned() }.into();
        }
        answered(version, suite, group.filter(|_| needs_group(suite)), scheme)
    }

    fn choose(&self, taken: &[u16], offered: &[u16]) -> Option<u16> {
        let (first, second) = if self.own_order { (taken, offered) } else { (offered, taken) };
        first.iter().copied().find(|value| second.contains(value))
    }
}

impl Ask for Simulated {
    async fn ask(&self, offer: HelloOffer, _: Until) -> Answered {
        self.answer(&offer)
    }
}

fn answered(version: u16, suite: u16, group: Option<u16>, scheme: Option<u16>) -> Answered {
    let mut body = version.min(TLS_1_2).to_be_bytes().to_vec();
    body.extend([7; 32]);
    body.push(0);
    body.extend(suite.to_be_bytes());
    body.push(0);
    if version == TLS_1_3 {
        let [high, low] = group.unwrap().to_be_bytes();
        body.extend([0, 12, 0, 43, 0, 2, 3, 4, 0, 51, 0, 2, high, low]);
    }
    let key_exchange = catalogue::has_server_key_exchange(suite).then(|| ServerKeyExchange {
        named_curve: group.map(names::named_group),
        diffie_hellman_bits: catalogue::is_dhe(suite).then_some(1024),
        signature_scheme: scheme.filter(|_| version == TLS_1_2).map(names::signature_scheme),
    });
    Answered { answer: HelloAnswer::Accepted(Box::new(ServerHello::decode(&body).unwrap())), key_exchange }
}

/// A HelloRetryRequest for a share of `group`; nothing else of the hello was looked at.
fn asked_again(suite: u16, group: Option<u16>) -> Answered {
    let answered = answered(TLS_1_3, suite, group, None);
    let HelloAnswer::Accepted(hello) = answered.answer else { panic!("it is a hello") };
    let hello = ServerHello { is_hello_retry_request: true, ..*hello };
    HelloAnswer::Accepted(Box::new(hello)).into()
}

fn run(server: &Simulated) -> (TlsCheck, Vec<LeftOut>) {
    scan(server).now_or_never().unwrap()
}

fn ids(list: &[CodePoint]) -> Vec<u16> {
    list.iter().map(|code_point| code_point.id).collect()
}

fn sorted(mut list: Vec<u16>) -> Vec<u16> {
    list.sort_unstable();
    list
}

fn some_suites(version: u16, most: usize) -> impl Strategy<Value = Vec<u16>> {
    let all = catalogue::suites(version);
    let most = most.min(all.len());
    proptest::sample::subsequence(all, 0..=most).prop_shuffle()
}

/// As many as one key has, of those that are `wanted`.
fn some_schemes(wanted: fn(u16) -> bool) -> impl Strategy<Value = Vec<u16>> {
    let all = SIGNATURE_SCHEMES.iter().copied().filter(|&scheme| wanted(scheme)).collect::<Vec<_>>();
    proptest::sample::subsequence(all, 1..9).prop_shuffle()
}

prop_compose! {
    fn server()(
        modern in some_suites(TLS_1_3, 5),
        suites in [some_suites(TLS_1_2, 89), some_suites(TLS_1_1, 27), some_suites(TLS_1_0, 27), some_suites(SSL_3_0, 9)],
        groups in proptest::sample::subsequence(catalogue::groups(TLS_1_2), 1..9).prop_shuffle(),
        modern_schemes in some_schemes(|scheme| scheme >= 0x0804 || scheme & 0xff == 3 && scheme >= 0x0403),
        schemes in some_schemes(|_| true),
        own_order in any::<bool>(),
        refusal in proptest::option::of(prop_oneof![Just(70u8), Just(40)]),
    ) -> Simulated {
        let lists = [modern].into_iter().chain(suites);
        let suites = VERSIONS.into_iter().zip(lists).filter(|(_, list)| !list.is_empty()).collect();
        let schemes = [modern_schemes, schemes];
        Simulated { suites, own_order, groups, schemes, refusal, ..Simulated::default() }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_a_server_takes_is_found(mut server in server()) {
        // Every server of TLS 1.3 has a group of TLS 1.3.
        server.groups.retain(|&group| group != group::X25519);
        server.groups.insert(0, group::X25519);
        let (check, left_out) = run(&server);
        prop_assert_eq!(left_out, Vec::new());
        prop_assert!(server.asked.get() <= MOST_CONNECTIONS, "{} hellos", server.asked.get());
        prop_assert_eq!(check.versions.len(), VERSIONS.len());
        for version in VERSIONS {
            let name = names::version(version).into_owned();
            let Some(takes) = server.suites.get(&version) else {
                prop_assert!(!matches!(check.versions[&name], HelloAnswer::Accepted(_)), "{}", name);
                prop_assert!(!check.suites.contains_key(&name));
                continue;
            };
            prop_assert!(matches!(check.versions[&name], HelloAnswer::Accepted(_)), "{}", name);
            let found = ids(&check.suites[&name]);
            prop_assert_eq!(sorted(found.clone()), sorted(takes.clone()));
            for family in Family::ALL {
                let family = catalogue::family(version, family);
                let in_family = |list: &[u16]| list.iter().copied().filter(|id| family.contains(id)).collect::<Vec<_>>();
                let order = if server.own_order { takes } else { &catalogue::suites(version) };
                let expected: Vec<u16> = in_family(order).into_iter().filter(|id| takes.contains(id)).collect();
                prop_assert_eq!(in_family(&found), expected);
            }
            prop_assert_eq!(check.server_order.get(&name).copied(), (takes.len() > 1).then_some(server.own_order));
        }
        for (version, takes) in [TLS_1_3, TLS_1_2].into_iter().zip(&server.schemes) {
            let suites = server.suites.get(&version).cloned().unwrap_or_default();
            let signs = suites.iter().any(|&suite| version == TLS_1_3 || catalogue::has_server_key_exchange(suite));
            let found = check.signature_schemes.get(&names::version(version).into_owned());
            let expected = if signs { sorted(takes.clone()) } else { Vec::new() };
            prop_assert_eq!(sorted(found.map(|found| ids(found)).unwrap_or_default()), expected);
        }
        let any_ecdhe = server.suites.iter().any(|(&version, suites)| version > SSL_3_0 && version < TLS_1_3
            && suites.iter().any(|&suite| catalogue::is_ecdhe(suite)));
        let asks_1_3 = server.suites.contains_key(&TLS_1_3);
        let expected: Vec<u16> = server.groups.iter().copied()
            .filter(|group| any_ecdhe || asks_1_3 && catalogue::groups(TLS_1_3).contains(group)).collect();
        prop_assert_eq!(sorted(ids(&check.groups)), sorted(expected));
        let any_dhe = server.suites.iter().any(|(_, suites)| suites.iter().any(|&suite| catalogue::is_dhe(suite)));
        prop_assert_eq!(check.diffie_hellman_bits, any_dhe.then_some(1024));
        let is_suite = |refused: &&CodePoint| refused.to_string().starts_with("TLS_");
        let (suites, groups): (Vec<_>, Vec<_>) = check.refused.iter().partition(is_suite);
        prop_assert!(suites.iter().all(|refused| !server.suites.values().flatten().any(|taken| *taken == refused.id)));
        prop_assert!(groups.iter().all(|refused| !check.groups.contains(refused)));
    }
}

fn usual_server() -> Simulated {
    Simulated {
        suites: BTreeMap::from([
            (TLS_1_3, vec![0x1302, 0x1301]),
            (TLS_1_2, vec![0xc030, 0xc02f, 0x009d, 0x0005]),
        ]),
        own_order: true,
        groups: vec![group::SECP256R1, group::X25519],
        schemes: [vec![0x0804, 0x0805], vec![0x0804, 0x0401]],
        refusal: Some(PROTOCOL_VERSION),
        ..Simulated::default()
    }
}

#[test]
fn a_usual_server_in_full() {
    let server = usual_server();
    let (check, left_out) = run(&server);
    assert_eq!(left_out, []);
    assert_eq!(ids(&check.suites["TLS1.3"]), [0x1302, 0x1301]);
    assert_eq!(ids(&check.suites["TLS1.2"]), [0xc030, 0xc02f, 0x009d, 0x0005]);
    assert_eq!(ids(&check.groups), [group::SECP256R1, group::X25519]);
    assert_eq!(ids(&check.signature_schemes["TLS1.3"]), [0x0804, 0x0805]);
    assert_eq!(ids(&check.signature_schemes["TLS1.2"]), [0x0804, 0x0401]);
    assert_eq!(
        check.server_order,
        BTreeMap::from([("TLS1.2".to_owned(), true), ("TLS1.3".to_owned(), true)])
    );
    let refused = ids(&check.refused);
    assert!(refused.contains(&0x002f) && refused.contains(&group::SECP384R1) && !refused.contains(&0x0005));
    assert!(matches!(check.versions["TLS1.0"], HelloAnswer::Alert { description: PROTOCOL_VERSION, .. }));
    // Versions; suites; a refusal for each family, of which TLS 1.3 has two; orders; groups with a refusal, twice; kinds of
    // keys and the schemes of one; schemes with a refusal.
    assert_eq!(server.asked.get(), 5 + 6 + 5 + 2 + 6 + 3 + 3 + 3);
}

#[test]
fn a_server_that_likes_a_group_best_of_which_clients_send_no_share() {
    let groups = vec![group::X25519MLKEM768, group::X25519];
    let (check, left_out) = run(&Simulated { groups, ..usual_server() });
    assert_eq!(left_out, []);
    assert_eq!(ids(&check.groups), [group::X25519MLKEM768, group::X25519]);
    assert_eq!(ids(&check.signature_schemes["TLS1.3"]), [0x0804, 0x0805]);
}

#[test]
fn a_server_that_closes_on_old_versions_is_asked_for_odd_suites_too() {
    let null_only = Simulated { suites: BTreeMap::from([(TLS_1_0, vec![0x0001])]), ..usual_server() };
    let null_only = Simulated { refusal: None, ..null_only };
    let (check, _) = run(&null_only);
    assert_eq!(ids(&check.suites["TLS1.0"]), [0x0001]);
    assert!(matches!(check.versions["TLS1.0"], HelloAnswer::Accepted(_)));
    assert_eq!(check.versions["TLS1.2"], HelloAnswer::Closed { how: How::Reset });
    assert_eq!(check.server_order, BTreeMap::new(), "of one suite there is no order");
    assert_eq!(check.groups, [], "no suite has a group");
    assert!(check.refused.iter().all(|refused| refused.id != group::X25519), "groups were not asked for");
}

#[test]
fn a_server_that_falls_silent_is_not_waited_for_again_and_again() {
    let server = Simulated { silent_from: Some(9), ..usual_server() };
    let (check, left_out) = run(&server);
    assert!(matches!(check.versions["TLS1.2"], HelloAnswer::Accepted(_)));
    let left: Vec<&str> = left_out.iter().map(|left| left.check.as_str()).collect();
    assert!(left.contains(&"the suites of TLS1.2"), "{left:?}");
    assert!(left_out.iter().all(|left| left.reason == "the server stopped answering"));
    assert_eq!(ids(&check.refused), [0x1303], "what was not asked to its end is not refused");
    assert!(server.asked.get() < 22, "{} hellos", server.asked.get());
}

#[test]
fn an_older_version_in_the_answer_is_no_acceptance() {
    struct Older;
    impl Ask for Older {
        async fn ask(&self, offer: HelloOffer, _: Until) -> Answered {
            answered(TLS_1_0, offer.suites[0], None, None)
        }
    }
    let (check, _) = scan(&Older).now_or_never().unwrap();
    for name in ["TLS1.3", "TLS1.2", "TLS1.1", "SSL3.0"] {
        assert_eq!(check.versions[name], HelloAnswer::OtherVersion { version: "TLS1.0".to_owned() });
    }
    assert!(matches!(check.versions["TLS1.0"], HelloAnswer::Accepted(_)));
}

#[test]
fn a_server_that_is_not_reached_is_asked_once_for_each_version() {
    struct Nowhere(Cell<u32>);
    impl Ask for Nowhere {
        async fn ask(&self, _: HelloOffer, _: Until) -> Answered {
            self.0.set(self.0.get() + 1);
            HelloAnswer::NotReached { reason: "it selected RDP".to_owned() }.into()
        }
    }
    let server = Nowhere(Cell::new(0));
    let (check, left_out) = scan(&server).now_or_never().unwrap();
    assert_eq!((server.0.get(), check.suites.len(), left_out.len()), (5, 0, 0));
}
