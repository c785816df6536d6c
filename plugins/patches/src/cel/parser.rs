//! Parses tokens to a syntax tree, by precedence.

use pgloom_kit::Value;

use super::lexer::{Kind, Token, tokens};
use super::{Error, ROOT};

/// An expression with its position.
#[derive(Debug)]
pub struct Node {
    /// In characters from 0.
    pub at: usize,
    /// The expression.
    pub kind: Expression,
}

/// An expression.
#[derive(Debug)]
pub enum Expression {
    /// A literal value.
    Literal(Value),
    /// A variable.
    Variable(String),
    /// `[a, b]`
    List(Vec<Node>),
    /// `{a: b}`
    Map(Vec<(Node, Node)>),
    /// `a.field`
    Field(Box<Node>, String),
    /// `has(a.field)`
    Has(Box<Node>, String),
    /// `a[b]`
    Index(Box<Node>, Box<Node>),
    /// `a.function(b)`
    Function(&'static str, Vec<Node>),
    /// `list.exists(name, condition)`, or `all`
    Over { list: Box<Node>, name: String, condition: Box<Node>, is_all: bool },
    /// `!a`, `-a`
    Unary(&'static str, Box<Node>),
    /// `a + b`
    Binary(&'static str, Box<Node>, Box<Node>),
    /// `a ? b : c`
    Choice(Box<Node>, Box<Node>, Box<Node>),
}

/// Functions, with the number of their arguments, including the one in front of the dot.
const FUNCTIONS: [(&str, usize); 4] = [("size", 1), ("startsWith", 2), ("endsWith", 2), ("contains", 2)];
const KNOWN: &str = "use has, size, startsWith, endsWith, contains, exists or all";
/// Binary operators by precedence, the weakest first.
const PRECEDENCE: [&[&str]; 5] =
    [&["||"], &["&&"], &["==", "!=", "<=", ">=", "<", ">", "in"], &["+", "-"], &["*", "/", "%"]];
/// The deepest nesting of an expression; it limits the use of the stack.
const MAX_DEPTH: usize = 64;
/// The most tokens of an expression: a tree can be as deep as it has tokens.
const MAX_LENGTH: usize = 500;

/// Parses an expression.
pub fn parse(text: &str) -> Result<Node, Error> {
    let tokens = tokens(text)?;
    if let Some(token) = tokens.get(MAX_LENGTH) {
        return Err(Error::new(token.at, "the expression is too long", "split it into two patches"));
    }
    let mut parser = Parser { tokens, next: 0, names: vec![ROOT.to_owned()], depth: 0 };
    let node = parser.choice()?;
    match parser.peek() {
        Token { kind: Kind::End, .. } => Ok(node),
        token => Err(unexpected(token)),
    }
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
    names: Vec<String>,
    depth: usize,
}

fn unexpected(token: &Token) -> Error {
    let what = match &token.kind {
        Kind::End => "the expression ends too early".to_owned(),
        Kind::Name(name) => format!("\"{name}\" is not expected here"),
        Kind::Sign(sign) => format!("\"{sign}\" is not expected here"),
        Kind::Number(_) | Kind::String(_) => "a value is not expected here".to_owned(),
    };
    Error::new(token.at, what, "put an operator between two values, and close every bracket")
}

impl Parser {
    fn peek(&self) -> &Token {
        &self.tokens[self.next.min(self.tokens.len() - 1)]
    }

    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        self.next += 1;
        token
    }

    /// Takes the token if it is the next one.
    fn accept(&mut self, sign: &str) -> bool {
        let is_next = match &self.peek().kind {
            Kind::Sign(next) => *next == sign,
            Kind::Name(next) => next == sign,
            _ => false,
        };
        self.next += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, sign: &str) -> Result<(), Error> {
        if self.accept(sign) { Ok(()) } else { Err(unexpected(self.peek())) }
    }

    fn choice(&mut self) -> Result<Node, Error> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Error::new(self.peek().at, "the expression is nested too deeply", "split it into two patches"));
        }
        let condition = self.binary(0)?;
        let at = condition.at;
        let node = if self.accept("?") {
            let this = self.binary(0)?;
            self.expect(":")?;
            let that = self.choice()?;
            Node { at, kind: Expression::Choice(Box::new(condition), Box::new(this), Box::new(that)) }
        } else {
            condition
        };
        self.depth -= 1;
        Ok(node)
    }

    fn binary(&mut self, level: usize) -> Result<Node, Error> {
        let Some(signs) = PRECEDENCE.get(level) else { return self.unary() };
        let mut left = self.binary(level + 1)?;
        loop {
            let at = self.peek().at;
            let Some(sign) = signs.iter().find(|sign| self.accept(sign)) else { return Ok(left) };
            let right = self.binary(level + 1)?;
            left = Node { at, kind: Expression::Binary(sign, Box::new(left), Box::new(right)) };
        }
    }

    fn unary(&mut self) -> Result<Node, Error> {
        let at = self.peek().at;
        let Some(sign) = ["!", "-"].into_iter().find(|sign| self.accept(sign)) else { return self.access() };
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Error::new(at, "the expression is nested too deeply", "remove operators that undo each other"));
        }
        let operand = self.unary()?;
        self.depth -= 1;
        Ok(Node { at, kind: Expression::Unary(sign, Box::new(operand)) })
    }

    fn access(&mut self) -> Result<Node, Error> {
        let mut node = self.primary()?;
        loop {
            let at = self.peek().at;
            if self.accept("[") {
                let index = self.choice()?;
                self.expect("]")?;
                node = Node { at, kind: Expression::Index(Box::new(node), Box::new(index)) };
            } else if self.accept(".") {
                let token = self.take();
                let Kind::Name(name) = token.kind else { return Err(unexpected(&token)) };
                node = match self.accept("(") {
                    true => self.method(token.at, node, &name)?,
                    false => Node { at: token.at, kind: Expression::Field(Box::new(node), name) },
                };
            } else {
                return Ok(node);
            }
        }
    }

    fn method(&mut self, at: usize, target: Node, name: &str) -> Result<Node, Error> {
        if name == "exists" || name == "all" {
            return self.over(at, target, name == "all");
        }
        let mut values = vec![target];
        values.extend(self.list(")")?);
        function(at, name, values)
    }

    fn over(&mut self, at: usize, list: Node, is_all: bool) -> Result<Node, Error> {
        let token = self.take();
        let Kind::Name(name) = token.kind else { return Err(unexpected(&token)) };
        self.expect(",")?;
        self.names.push(name.clone());
        let condition = self.choice()?;
        self.names.pop();
        self.expect(")")?;
        let (list, condition) = (Box::new(list), Box::new(condition));
        Ok(Node { at, kind: Expression::Over { list, name, condition, is_all } })
    }

    fn primary(&mut self) -> Result<Node, Error> {
        let token = self.take();
        let at = token.at;
        let kind = match token.kind {
            Kind::Number(number) => Expression::Literal(number),
            Kind::String(text) => Expression::Literal(text.into()),
            Kind::Name(name) => return self.name(at, name),
            Kind::Sign("(") => {
                let node = self.choice()?;
                self.expect(")")?;
                return Ok(node);
            }
            Kind::Sign("[") => Expression::List(self.list("]")?),
            Kind::Sign("{") => Expression::Map(self.map()?),
            _ => return Err(unexpected(&token)),
        };
        Ok(Node { at, kind })
    }

    fn name(&mut self, at: usize, name: String) -> Result<Node, Error> {
        let kind = match name.as_str() {
            "true" => Expression::Literal(true.into()),
            "false" => Expression::Literal(false.into()),
            "null" => Expression::Literal(Value::Null),
            _ if self.accept("(") => {
                let values = self.list(")")?;
                return function(at, &name, values);
            }
            _ if self.names.contains(&name) => Expression::Variable(name),
            _ => {
                let message = format!("there is no variable {name}");
                return Err(Error::new(at, message, "start with cluster, and put strings into quotes"));
            }
        };
        Ok(Node { at, kind })
    }

    /// Expressions up to the closing bracket.
    fn list(&mut self, end: &str) -> Result<Vec<Node>, Error> {
        let mut items = Vec::new();
        while !self.accept(end) {
            items.push(self.choice()?);
            if !self.accept(",") {
                self.expect(end)?;
                break;
            }
        }
        Ok(items)
    }

    fn map(&mut self) -> Result<Vec<(Node, Node)>, Error> {
        let mut entries = Vec::new();
        while !self.accept("}") {
            let key = self.choice()?;
            self.expect(":")?;
            entries.push((key, self.choice()?));
            if !self.accept(",") {
                self.expect("}")?;
                break;
            }
        }
        Ok(entries)
    }
}

fn function(at: usize, name: &str, mut values: Vec<Node>) -> Result<Node, Error> {
    if name == "has" {
        return match (values.pop(), values.is_empty()) {
            (Some(Node { kind: Expression::Field(target, field), .. }), true) => {
                Ok(Node { at, kind: Expression::Has(target, field) })
            }
            _ => Err(Error::new(at, "has() needs a field", "write it as in has(cluster.spec.tls)")),
        };
    }
    let Some((name, count)) = FUNCTIONS.iter().find(|(known, _)| *known == name) else {
        return Err(Error::new(at, format!("there is no function {name}"), KNOWN));
    };
    if values.len() != *count {
        let remedy = if *count == 1 { "write size(x) or x.size()" } else { "write it as in text.startsWith(\"a\")" };
        return Err(Error::new(at, format!("{name} has another number of arguments"), remedy));
    }
    Ok(Node { at, kind: Expression::Function(name, values) })
}
