use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

fn names(keep: &[Kind]) -> Names {
    Names::new(PseudonymKey::new([7; PseudonymKey::LENGTH]), keep.iter().copied().collect())
}

/// A redactor for what these lines say.
fn redactor(keep: &[Kind], lines: &[Value]) -> Redactor {
    let mut names = names(keep);
    lines.iter().for_each(|line| names.learn_line(line));
    Redactor::new(names)
}

fn redacted(redactor: &mut Redactor, line: &Value) -> Value {
    let mut line = line.clone();
    redactor.line(&mut line);
    line
}

fn session() -> Vec<Value> {
    let folder = ["/home", "/walther/traces"].concat();
    vec![
        json!({"type":"trace","schema":1,"rdpscope":"0.1.0","session":"20261121-1","target":"srv10.corp.contoso.com:3389",
            "settings":{"trace":(folder),"gateway":"gw.contoso.com:443"},"started":"2026-11-21T16:11:58Z"}),
        json!({"type":"event","t_us":1,"leg":"client","phase":"tcp","event":"accepted","peer":"10.1.2.3:59374",
            "local":"127.0.0.1:13389"}),
        json!({"type":"event","t_us":2,"leg":"client","from":"client","phase":"x224","event":"connection_request",
            "cookie":"CONTOSO\\mi","routing_token":"msts=3640205228.15629.0000"}),
        json!({"type":"event","t_us":3,"leg":"server","phase":"dns","event":"resolved","name":"srv10.corp.contoso.com",
            "addresses":["10.1.2.4:3389","[fe80::12]:3389"]}),
        json!({"type":"event","t_us":4,"leg":"server","from":"server","phase":"tls","event":"certificate","chain":[{
            "subject":"CN=SRV10.corp.contoso.com, O=Contoso Ltd","subject_cn":"SRV10.corp.contoso.com",
            "issuer_cn":"rdpscope session CA 7ac3887c","sans":["SRV10","10.1.2.4","*.corp.contoso.com"]}]}),
        json!({"type":"event","t_us":5,"leg":"client","from":"client","phase":"credssp","event":"ts_request","nego_tokens":[{
            "mechanism":{"mechanism":"ntlm","message":"authenticate","user":"mia.wallace","domain":"CONTOSO",
            "workstation":"PC-MIA"}}]}),
        json!({"type":"verdict","id":"nla-logon-failed","summary":"srv10 refused mia.wallace of CONTOSO (10.1.2.4)",
            "evidence":[{"t_us":5,"text":"the server SRV10.CORP.CONTOSO.COM said so; srv101 did not, and contosoville neither"}]}),
    ]
}

const SECRETS: [&str; 10] = [
    "srv10.",
    "contoso.",
    "mia.wallace",
    "wallace",
    "pc-mia",
    "10.1.2.3",
    "10.1.2.4",
    "fe80::12",
    "walther",
    "contoso ltd",
];

#[test]
fn no_name_of_a_session_is_left_and_its_words_are() {
    let lines = session();
    let mut redactor = redactor(&[], &lines);
    let text: Vec<String> = lines.iter().map(|line| redacted(&mut redactor, line).to_string()).collect();
    let text = text.join("\n");
    for secret in SECRETS {
        assert!(!text.to_lowercase().contains(secret), "{secret}: {text}");
    }
    for word in [
        "127.0.0.1:13389",
        "rdpscope session CA 7ac3887c",
        "srv101 did not",
        "contosoville",
        "nla-logon-failed",
        ":3389",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(!text.contains("3640205228"), "a routing token has the address of a server in it");
}

#[test]
fn one_name_is_one_pseudonym_wherever_it_stands() {
    let lines = session();
    let mut redactor = redactor(&[], &lines);
    let target = redacted(&mut redactor, &lines[0])["target"].as_str().unwrap().to_owned();
    let host = target.split('.').next().unwrap().to_owned();
    assert_eq!(
        (host.len(), target.len(), target.ends_with(".com:3389")),
        (5, "srv10.corp.contoso.com:3389".len(), true)
    );
    let certificate = redacted(&mut redactor, &lines[4]);
    assert_eq!(certificate["chain"][0]["sans"][0], host.to_uppercase().as_str());
    let verdict = redacted(&mut redactor, &lines[6]);
    assert!(verdict["summary"].as_str().unwrap().starts_with(&format!("{host} refused u")), "{verdict}");
    let again = super::tests::redactor(&[], &session()[..1]);
    assert_eq!(again.names().dotted("srv10"), host, "with the same key");
    let mut other = Names::new(PseudonymKey::new([8; PseudonymKey::LENGTH]), Keep::new());
    other.learn_line(&lines[0]);
    assert_ne!(other.dotted("srv10"), host, "with another");
}

#[test]
fn every_part_of_a_distinguished_name_is_learnt() {
    let lines = [
        json!({"issuer":"CN=DC-07,DC=ad,DC=fabrikam,DC=ninja","subject":"CN=pc1.fabrikam.test, O=Fabrikam Works"}),
    ];
    let mut redactor = redactor(&[], &lines);
    let text = redactor.text("fabrikam, dc-07, ninja, pc1 and Fabrikam Works");
    for name in ["fabrikam", "dc-07", "ninja", "pc1", "works"] {
        assert!(!text.to_lowercase().contains(name), "{name}: {text}");
    }
}

#[test]
fn what_is_to_be_kept_is_kept() {
    let lines = session();
    let mut redactor = redactor(&[Kind::Host, Kind::Address], &lines);
    let text: String = lines.iter().map(|line| redacted(&mut redactor, line).to_string()).collect();
    assert!(text.contains("10.1.2.4") && text.contains("srv10."), "{text}");
    assert!(!text.to_lowercase().contains("wallace") && !text.to_lowercase().contains("contoso."), "{text}");
}

#[test]
fn bytes_are_searched_in_the_encodings_of_the_protocols() {
    let lines = session();
    let mut redactor = redactor(&[], &lines);
    let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let mut bytes = [b"\x05SRV10\x04corp".to_vec(), wide("PC-MIA"), b"\0\0 10.1.2.4 ".to_vec()].concat();
    let before = bytes.clone();
    redactor.bytes(&mut bytes);
    assert_eq!(bytes.len(), before.len());
    let text = String::from_utf8_lossy(&bytes).replace('\0', "").to_lowercase();
    for secret in ["\u{5}srv10", "corp", "pc-mia", "10.1.2.4"] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    assert_eq!(redactor.remaining(&before).len(), 3, "{:?}", redactor.remaining(&before));
}

#[test]
fn a_name_that_is_a_word_of_every_report_is_replaced_where_it_is_a_name() {
    let lines = [
        json!({"event":"resolved","name":"server.contoso.com","addresses":[]}),
        json!({"text":"the server closed; server.contoso.com","workstation":"SERVER"}),
    ];
    let mut redactor = redactor(&[], &lines);
    let line = redacted(&mut redactor, &lines[1]);
    assert!(line["text"].as_str().unwrap().starts_with("the server closed; h"), "{line}");
    assert_ne!(line["workstation"], "SERVER");
    assert!(!line.to_string().contains("server.contoso"), "{line}");
    assert_eq!(redactor.names().not_looked_for().count(), 1);
}

/// Every field of text that the schema has and that the table does not name: sentences.
#[test]
fn every_field_that_is_not_named_holds_a_sentence() {
    let schema: Value = serde_json::from_str(include_str!("../../trace.schema.json")).unwrap();
    let mut keys = std::collections::BTreeSet::new();
    text_fields(&schema, &mut keys);
    let sentences: Vec<&String> =
        keys.iter().filter(|key| super::fields::field(key) == super::fields::Field::Text).collect();
    insta::assert_debug_snapshot!(sentences);
}

fn text_fields(schema: &Value, keys: &mut std::collections::BTreeSet<String>) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::Object(properties)) = object.get("properties") {
                for (key, property) in properties {
                    if is_text(property) {
                        keys.insert(key.clone());
                    }
                }
            }
            object.values().for_each(|value| text_fields(value, keys));
        }
        Value::Array(values) => values.iter().for_each(|value| text_fields(value, keys)),
        _ => {}
    }
}

/// Text that is no word of a fixed list, or a list or map of it.
fn is_text(property: &Value) -> bool {
    if !property.is_object() || property.get("enum").is_some() || property.get("const").is_some() {
        return false;
    }
    let of_type = match &property["type"] {
        Value::String(name) => name == "string",
        Value::Array(names) => names.iter().any(|name| name == "string"),
        _ => false,
    };
    let inside = ["items", "additionalProperties"].iter().any(|key| is_text(&property[*key]));
    let any = ["anyOf", "oneOf"].iter().filter_map(|key| property[*key].as_array()).flatten().any(is_text);
    of_type || inside || any
}

proptest! {
    #[test]
    fn any_bytes_keep_their_length(mut bytes: Vec<u8>, place in 0usize..64) {
        let mut redactor = redactor(&[], &session());
        let place = place.min(bytes.len());
        bytes.splice(place..place, b" srv10.corp.contoso.com ".iter().copied());
        let length = bytes.len();
        redactor.bytes(&mut bytes);
        prop_assert_eq!(bytes.len(), length);
        prop_assert!(!bytes.windows(7).any(|window| window.eq_ignore_ascii_case(b"contoso")));
    }

    #[test]
    fn any_sentence_is_redacted_once_and_for_all(text in "[a-zA-Z0-9 .:\\\\srv10contoso]{0,60}") {
        let mut redactor = redactor(&[], &session());
        let once = redactor.text(&text);
        prop_assert_eq!(redactor.text(&once), once.clone());
    }
}

/// What the certificate of a company's authority has names in, and the authority that rdpscope makes for a session.
#[test]
fn no_extension_of_a_certificate_keeps_a_name_or_an_address() {
    use rcgen::{
        BasicConstraints, CertificateParams, CidrSubnet, CrlDistributionPoint, DnType, GeneralSubtree, IsCa,
        KeyPair, NameConstraints, SanType,
    };
    let mut parameters =
        CertificateParams::new(vec!["pc7.fabrikam.com".to_owned(), "10.20.30.40".to_owned()]).unwrap();
    parameters.distinguished_name.push(DnType::OrganizationName, "Wingtip, Inc.");
    parameters.distinguished_name.push(DnType::CommonName, "Adatum Issuing 3");
    let logon_name =
        SanType::OtherName((vec![1, 3, 6, 1, 4, 1, 311, 20, 2, 3], "kim.abercrombie@litware.com".into()));
    let mailbox = SanType::Rfc822Name("pat.coleman@proseware.com".try_into().unwrap());
    parameters.subject_alt_names.extend([logon_name, mailbox]);
    let uris = [
        "ldap:///CN=Adatum%20Issuing%203,CN=PKI-NORTH,CN=CDP,CN=Services,DC=treyresearch,DC=net?crl?base",
        "http://crl.alpineski.com/CertEnroll/ca-host.tailspin.com_Adatum%20Issuing%203.crt",
    ];
    parameters.crl_distribution_points =
        uris.map(|uri| CrlDistributionPoint { uris: vec![uri.to_owned()] }).into();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![
            GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix([10, 20, 30, 41].into(), 32)),
            GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix("2001:db8::7".parse().unwrap(), 128)),
            GeneralSubtree::DnsName(".fourthcoffee.com".to_owned()),
        ],
        excluded_subtrees: Vec::new(),
    });
    let certificate = parameters.self_signed(&KeyPair::generate().unwrap()).unwrap();
    let mut der = certificate.der().to_vec();

    let mut names = names(&[]);
    names.learn_certificate(&der);
    let mut redactor = Redactor::new(names);
    assert!(redactor.remaining_in_certificate(&der).len() > 10, "the last look finds what is still there");
    redactor.certificate(&mut der);
    let text = String::from_utf8_lossy(&der).to_lowercase();
    for name in [
        "fabrikam",
        "wingtip",
        "adatum",
        "abercrombie",
        "litware",
        "coleman",
        "proseware",
        "pki-north",
        "treyresearch",
        "alpineski",
        "ca-host",
        "tailspin",
        "fourthcoffee",
    ] {
        assert!(!text.contains(name), "{name}: {text}");
    }
    let address = "2001:db8::7".parse::<std::net::Ipv6Addr>().unwrap().octets();
    for octets in [&[10, 20, 30, 40][..], &[10, 20, 30, 41], &address] {
        assert!(!der.windows(octets.len()).any(|window| window == octets), "{octets:?}");
    }
    assert!(
        text.contains("cn=cdp,cn=services") && text.contains("/certenroll/"),
        "what everybody has stays: {text}"
    );
    assert_eq!(redactor.remaining_in_certificate(&der), Vec::<String>::new());
    let inspected = rdpscope_certs::inspect::inspect(&der).unwrap();
    assert_eq!(inspected.sans.len(), 2, "it is still read as a certificate: {inspected:?}");
}

#[test]
fn a_company_with_a_comma_in_its_name_is_one_name() {
    let lines =
        [json!({"issuer": "CN=pc1,O=Wingtip\\, Inc."}), json!({"issuer": "CN=pc2, O=\"Litware, Ltd.\""})];
    let mut redactor = redactor(&[], &lines);
    let said = redactor.text("Wingtip, Inc. and Wingtip\\, Inc. and Litware, Ltd. met");
    assert!(!said.contains("Wingtip") && !said.contains("Litware") && said.ends_with(" met"), "{said}");
}
