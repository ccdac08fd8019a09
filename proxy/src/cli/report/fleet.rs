//! The targets of a probe side by side.

use crate::probe::difference::{NAMES, Profile, compare};
use crate::report::{Document, Fleet, Host, HostValue};

/// `document` with its probed targets side by side, where there are several.
pub(super) fn compared(mut document: Document) -> Document {
    let probed: Vec<(usize, Profile)> = document
        .subjects
        .iter()
        .enumerate()
        .filter(|(_, subject)| subject.record.probe.is_some())
        .map(|(place, subject)| (place, Profile::new(&subject.record)))
        .collect();
    if probed.len() < 2 {
        document.fleet = None;
        return document;
    }
    let profiles: Vec<Profile> = probed.iter().map(|(_, profile)| profile.clone()).collect();
    // What a run has written of itself counts the targets that it did not come to, too.
    let written = document.fleet.take().map(|fleet| fleet.comparison);
    let comparison = written.filter(|it| it.targets == profiles.len());
    let comparison = comparison.unwrap_or_else(|| compare(&profiles, profiles.len()));
    let known = profiles.iter().flat_map(|profile| &profile.properties).map(|property| property.name);
    let properties: Vec<&'static str> =
        NAMES.into_iter().filter(|name| known.clone().any(|it| it == *name)).collect();
    let hosts = probed.iter().map(|(subject, profile)| host(*subject, profile, &properties)).collect();
    document.fleet = Some(Fleet { comparison, properties, hosts });
    document
}

fn host(subject: usize, profile: &Profile, properties: &[&'static str]) -> Host {
    let value = |name: &&'static str| {
        let property = profile.properties.iter().find(|property| property.name == *name)?;
        let words = property.words.as_deref().unwrap_or(&property.class).to_owned();
        Some(HostValue { class: property.class.clone(), words })
    };
    Host { subject, values: properties.iter().map(value).collect() }
}
