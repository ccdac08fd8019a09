//! stub
#[derive(Debug, Clone)]
pub struct Credentials;
