//! Tokens: what is signed, what is believed, what the documents say.

use super::*;
use std::time::{Duration, SystemTime};

const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000)
}

fn reference(name: &str) -> Reference {
    Reference { name: name.to_owned(), uid: format!("uid-of-{name}") }
}

fn claims() -> Claims {
    let wanted = Wanted {
        issuer: ISSUER,
        namespace: "shop",
        account: reference("till"),
        bound: Bound::Pod(reference("till-0"), Some(reference("skerry"))),
        audiences: vec![ISSUER.to_owned()],
        seconds: EXTENDED_SECONDS,
        warn_after: WARN_ONLY_SECONDS,
        id: "4f1c".to_owned(),
    };
    Claims::new(wanted, now())
}

#[test]
fn a_bound_token_says_what_upstream_says() {
    let said = serde_json::to_value(claims()).unwrap();
    let wants = json!({
        "aud": [ISSUER], "exp": 1_790_000_000 + 31_536_000, "iat": 1_790_000_000, "nbf": 1_790_000_000,
        "iss": ISSUER, "jti": "4f1c", "sub": "system:serviceaccount:shop:till",
        "kubernetes.io": {
            "namespace": "shop",
            "serviceaccount": {"name": "till", "uid": "uid-of-till"},
            "pod": {"name": "till-0", "uid": "uid-of-till-0"},
            "node": {"name": "skerry", "uid": "uid-of-skerry"},
            "warnafter": 1_790_003_607,
        },
    });
    assert_eq!(said, wants);
}

#[test]
fn a_signed_token_is_believed_and_a_changed_one_is_not() {
    let keys = SigningKeys::generate().unwrap();
    let token = keys.sign(&claims()).unwrap();
    assert_eq!(keys.verify_claims(&token, &["other", ISSUER]).unwrap(), claims());
    assert_eq!(keys.verify(&token, &["other"]), Err(Refused::Foreign));
    assert_eq!(SigningKeys::generate().unwrap().verify(&token, &[ISSUER]), Err(Refused::NoKey));
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    let mut other = claims();
    other.sub = "system:serviceaccount:kube-system:admin".to_owned();
    parts[1] = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&other).unwrap());
    assert_eq!(keys.verify(&parts.join("."), &[ISSUER]), Err(Refused::Signature));
    for broken in
        ["", "a", "a.b", "a.b.c", "a.b.c.d", "e30.e30.e30", &token[..token.len() - 2], &"x".repeat(TOKEN_MAX + 1)]
    {
        assert!(keys.verify(broken, &[ISSUER]).is_err(), "{broken:.20}");
    }
}

#[test]
fn an_unsigned_token_or_another_algorithm_is_refused() {
    let keys = SigningKeys::generate().unwrap();
    for header in [json!({"alg": "none"}), json!({"alg": "HS256"}), json!({"alg": "ES256", "crit": ["exp"]})] {
        let body = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&claims()).unwrap());
        let token = format!("{}.{body}.", URL_SAFE_NO_PAD.encode(header.to_string()));
        assert_eq!(keys.verify(&token, &[ISSUER]), Err(Refused::Signature), "{header}");
    }
}

#[test]
fn old_keys_still_verify_and_the_first_signs() {
    let old = SigningKeys::generate().unwrap();
    let new = SigningKeys::generate().unwrap();
    let both = SigningKeys::from_pem(format!("{}{}", *new.to_pem(), *old.to_pem()).as_bytes()).unwrap();
    assert!(both.verify(&old.sign(&claims()).unwrap(), &[ISSUER]).is_ok());
    assert!(new.verify(&both.sign(&claims()).unwrap(), &[ISSUER]).is_ok());
    let documents: serde_json::Value = serde_json::from_slice(&both.key_set()).unwrap();
    assert_eq!(documents["keys"].as_array().unwrap().len(), 2);
}

#[test]
fn times_are_checked_with_a_minute_of_leeway() {
    let claims = claims();
    let end = now() + Duration::from_secs(31_536_000);
    assert_eq!(claims.check_times(now()), Ok(()));
    assert_eq!(claims.check_times(now() - Duration::from_secs(60)), Ok(()));
    assert_eq!(claims.check_times(now() - Duration::from_secs(61)), Err(TimeFault::NotYetValid));
    assert_eq!(claims.check_times(end + Duration::from_secs(60)), Ok(()));
    assert_eq!(claims.check_times(end + Duration::from_secs(61)), Err(TimeFault::Expired));
    assert_eq!(claims.stale_by(now()), None);
    assert_eq!(claims.stale_by(now() + Duration::from_secs(3617)), Some(10));
}

#[test]
fn one_audience_and_fractions_of_seconds_are_read() {
    let read: Claims = serde_json::from_str(r#"{"aud":"a","exp":12.9,"iss":"x","kubernetes.io":{}}"#).unwrap();
    assert_eq!((read.aud, read.exp, read.nbf), (vec!["a".to_owned()], Some(12), None));
}

#[test]
fn the_key_set_holds_the_key_that_signs() {
    let keys = SigningKeys::generate().unwrap();
    let set: serde_json::Value = serde_json::from_slice(&keys.key_set()).unwrap();
    let key = &set["keys"][0];
    let part = |name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str().unwrap()).unwrap();
    let point = [vec![4], part("x"), part("y")].concat();
    let token = keys.sign(&claims()).unwrap();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
    assert!(public.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).is_ok());
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    let header: serde_json::Value = serde_json::from_slice(&header).unwrap();
    assert_eq!(header["kid"], key["kid"]);
    let configuration: serde_json::Value = serde_json::from_slice(&keys.configuration(ISSUER, "https://h/k")).unwrap();
    assert_eq!(configuration["id_token_signing_alg_values_supported"], json!([key["alg"]]));
}
