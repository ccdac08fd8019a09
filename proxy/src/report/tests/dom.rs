//! A page as a browser's parser takes it.

use html5ever::tendril::TendrilSink;
use html5ever::{ParseOpts, parse_document};
use markup5ever_rcdom::{Handle, NodeData, RcDom};

/// One element with what is in it.
#[derive(Debug, Clone)]
pub(super) struct Element {
    pub(super) name: String,
    pub(super) attributes: Vec<(String, String)>,
    /// All text below it.
    pub(super) text: String,
    /// The names of the elements that it stands in, the outermost first.
    pub(super) within: Vec<String>,
}

impl Element {
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// A parsed page.
pub(super) struct Dom {
    /// Every element in the order of the page.
    pub(super) elements: Vec<Element>,
    /// What a browser would have had to mend.
    pub(super) errors: Vec<String>,
}

impl Dom {
    pub(super) fn of(page: &str) -> Dom {
        let options = ParseOpts {
            tokenizer: html5ever::tokenizer::TokenizerOpts { exact_errors: true, ..Default::default() },
            ..ParseOpts::default()
        };
        let parsed = parse_document(RcDom::default(), options).from_utf8().one(page.as_bytes());
        let mut elements = Vec::new();
        gather(&parsed.document, &mut Vec::new(), &mut elements);
        let errors = parsed.errors.borrow().iter().map(ToString::to_string).collect();
        Dom { elements, errors }
    }

    /// Every element of this name.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.elements.iter().filter(move |element| element.name == name)
    }

    /// The only element of this name.
    pub(super) fn only<'a>(&'a self, name: &'a str) -> &'a Element {
        let found: Vec<&Element> = self.all(name).collect();
        assert_eq!(found.len(), 1, "one {name}");
        found[0]
    }
}

/// Adds the elements below `node`; answers with the text there.
fn gather(node: &Handle, within: &mut Vec<String>, elements: &mut Vec<Element>) -> String {
    if let NodeData::Text { contents } = &node.data {
        return contents.borrow().to_string();
    }
    let place = elements.len();
    let name = match &node.data {
        NodeData::Element { name, attrs, .. } => {
            let name = name.local.to_string();
            let attributes =
                attrs.borrow().iter().map(|it| (it.name.local.to_string(), it.value.to_string())).collect();
            elements.push(Element {
                name: name.clone(),
                attributes,
                text: String::new(),
                within: within.clone(),
            });
            Some(name)
        }
        _ => None,
    };
    let is_element = name.is_some();
    within.extend(name);
    let text: String = node.children.borrow().iter().map(|child| gather(child, within, elements)).collect();
    if is_element {
        within.pop();
        elements[place].text = text.clone();
    }
    text
}
