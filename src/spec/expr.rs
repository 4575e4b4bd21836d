//! `${...}` expressions: variables, locals, and the values of everything else.

use std::collections::{BTreeMap, BTreeSet};

use hcl::eval::{Context, ErrorKind, Evaluate};
use hcl_edit::expr::{Expression, TraversalOperator};
use hcl_edit::template::{Element, Template};
use hcl_edit::visit::{Visit, visit_traversal};
use serde_json::{Map, Value};

use super::units::describe;
use super::{arithmetic, functions};
use crate::diagnostic::{Diagnostic, Pointer, SourceMap, Span, did_you_mean};

/// Largest value that an expression may give, counted in bytes of text and members.
const MAX_SIZE: usize = 64 * 1024;

/// Types of variables.
pub const TYPES: &[&str] = &["string", "number", "bool", "list", "map"];

/// Whether a text holds an expression (or the escape of one).
pub fn is_template(text: &str) -> bool {
    text.contains("${") || text.contains("%{")
}

/// Evaluates a tree in place; `inputs` are names, values and origins of variables handed in.
pub struct Evaluator<'a> {
    map: &'a SourceMap,
    context: Context<'a>,
    variables: BTreeSet<String>,
    locals: BTreeSet<String>,
    problems: Vec<Diagnostic>,
}

/// Evaluates everything but `variables` and `locals`, which keep what was written.
pub fn evaluate(tree: &mut Value, map: &SourceMap, inputs: &[(String, String, String)]) -> Vec<Diagnostic> {
    let mut evaluator = Evaluator {
        map,
        context: functions::context(),
        variables: BTreeSet::new(),
        locals: BTreeSet::new(),
        problems: Vec::new(),
    };
    evaluator.declare_variables(tree.get("variables"), inputs);
    evaluator.declare_locals(tree.get("locals"));
    if let Value::Object(root) = tree {
        for (key, value) in root.iter_mut() {
            if key != "variables" && key != "locals" {
                evaluator.walk(value, &Pointer::root().join(key));
            }
        }
    }
    evaluator.problems
}

impl Evaluator<'_> {
    fn declare_variables(&mut self, section: Option<&Value>, inputs: &[(String, String, String)]) {
        let at = Pointer::root().join("variables");
        let mut given: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
        for (name, value, origin) in inputs {
            given.insert(name, (value, origin));
        }
        let mut values = Map::new();
        let empty = Map::new();
        let declared = section.and_then(Value::as_object).unwrap_or(&empty);
        for (name, declaration) in declared {
            let place = at.join(name);
            self.variables.insert(name.clone());
            let default = declaration.get("default");
            if let Some(default) = default {
                self.literal(default, &place.join("default"));
            }
            // A type that there is not is reported by the key table.
            let stated = declaration.get("type").and_then(Value::as_str).filter(|t| TYPES.contains(t));
            let kind = stated.or(default.map(type_of)).unwrap_or("string");
            let value = match (given.get(name.as_str()), default) {
                (Some((text, origin)), _) => match convert(text, kind) {
                    Some(value) => value,
                    None => {
                        self.problems.push(
                            Diagnostic::error(
                                "wrong-type",
                                format!("the variable `{name}` is a {kind}, {origin} gives `{text}`"),
                            )
                            .at_key(self.map, &place)
                            .label("declared here")
                            .help(format!("give a {kind}")),
                        );
                        continue;
                    }
                },
                (None, Some(default)) => {
                    if stated.is_some() && type_of(default) != kind {
                        self.problems.push(
                            Diagnostic::error(
                                "wrong-type",
                                format!(
                                    "the variable `{name}` is a {kind}, its default is {}",
                                    describe(default)
                                ),
                            )
                            .at(self.map, &place.join("default"))
                            .label(format!("not a {kind}"))
                            .help("correct the default or the type"),
                        );
                    }
                    default.clone()
                }
                (None, None) => {
                    let about = declaration.get("description").and_then(Value::as_str);
                    self.problems.push(
                        Diagnostic::error("missing-variable", format!("the variable `{name}` has no value"))
                            .at_key(self.map, &place)
                            .label(about.unwrap_or("no default").to_owned())
                            .help(format!(
                                "give `--var {name}=...`, set `RHUMB_VAR_{name}`, or add a `default`"
                            )),
                    );
                    continue;
                }
            };
            values.insert(name.clone(), value);
        }
        // The environment may hold what other specs need; what was typed for this one must fit.
        for (name, (_, origin)) in given {
            if !declared.contains_key(name) && !origin.starts_with("RHUMB_VAR_") {
                let help = match did_you_mean(name, declared.keys().map(String::as_str)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None if declared.is_empty() => "the spec declares no `variables`".to_owned(),
                    None => {
                        let all: Vec<_> = declared.keys().map(|k| format!("`{k}`")).collect();
                        format!("variables: {}", all.join(", "))
                    }
                };
                self.problems.push(
                    Diagnostic::error(
                        "unknown-variable",
                        format!("{origin} sets `{name}`, which is not declared"),
                    )
                    .help(help),
                );
            }
        }
        self.declare("var", values);
    }

    fn declare(&mut self, name: &str, values: Map<String, Value>) {
        let value: hcl::Value = serde_json::from_value(Value::Object(values)).unwrap_or(hcl::Value::Null);
        self.context.declare_var(name, value);
    }

    /// Expressions have no meaning where variables get their values.
    fn literal(&mut self, value: &Value, at: &Pointer) {
        match value {
            Value::String(text) if is_template(text) => self.problems.push(
                Diagnostic::error("expression-not-allowed", "a default is a plain value")
                    .at(self.map, at)
                    .label("an expression")
                    .help("compute it in `locals`"),
            ),
            Value::Array(items) => {
                for (i, item) in items.iter().enumerate() {
                    self.literal(item, &at.join(i));
                }
            }
            Value::Object(map) => {
                for (key, item) in map {
                    self.literal(item, &at.join(key));
                }
            }
            _ => {}
        }
    }

    fn declare_locals(&mut self, section: Option<&Value>) {
        let at = Pointer::root().join("locals");
        let empty = Map::new();
        let written = section.and_then(Value::as_object).unwrap_or(&empty);
        self.locals = written.keys().cloned().collect();
        let needs: BTreeMap<&str, BTreeSet<String>> =
            written.iter().map(|(name, value)| (name.as_str(), references(value, "local"))).collect();
        let mut order: Vec<&str> = Vec::new();
        let mut failed: BTreeSet<&str> = BTreeSet::new();
        for name in written.keys() {
            let mut path = Vec::new();
            if let Err(cycle) = visit(name, &needs, &mut order, &mut path) {
                let first = cycle.iter().min().copied().unwrap_or(name.as_str());
                if failed.is_disjoint(&cycle.iter().copied().collect()) {
                    // Told from its first name, so that the text does not depend on the order.
                    let start = cycle.iter().position(|n| *n == first).unwrap_or(0);
                    let names: Vec<&str> = cycle[start..].iter().chain(&cycle[..=start]).copied().collect();
                    let chain: Vec<String> = names.iter().map(|n| format!("local.{n}")).collect();
                    self.problems.push(
                        Diagnostic::error(
                            "cycle",
                            format!("locals refer to each other in a cycle: {}", chain.join(" -> ")),
                        )
                        .at_key(self.map, &at.join(first))
                        .label("in a cycle")
                        .help("write one of them out"),
                    );
                }
                failed.extend(cycle);
                failed.insert(name);
            }
        }
        let mut values = Map::new();
        self.declare("local", values.clone());
        for name in order {
            let Some(value) = written.get(name) else { continue };
            let needs_failed = needs.get(name).is_some_and(|n| n.iter().any(|n| failed.contains(n.as_str())));
            if failed.contains(name) || needs_failed {
                failed.insert(name);
                continue;
            }
            let mut value = value.clone();
            let before = self.problems.len();
            self.walk(&mut value, &at.join(name));
            if self.problems.len() > before {
                failed.insert(name);
                continue;
            }
            values.insert(name.to_owned(), value);
            self.declare("local", values.clone());
        }
    }

    fn walk(&mut self, value: &mut Value, at: &Pointer) {
        match value {
            Value::String(text) if is_template(text) => {
                match self.text(text, at) {
                    Ok(new) => *value = new,
                    Err(problem) => {
                        self.problems.push(*problem);
                        *value = Value::Null;
                    }
                };
            }
            Value::Array(items) => {
                for (i, item) in items.iter_mut().enumerate() {
                    self.walk(item, &at.join(i));
                }
            }
            Value::Object(map) => {
                for (key, item) in map.iter_mut() {
                    let place = at.join(key);
                    if is_template(key) {
                        self.problems.push(
                            Diagnostic::error("expression-not-allowed", "a key is a plain name")
                                .at_key(self.map, &place)
                                .label("an expression")
                                .help("write the name out"),
                        );
                    }
                    self.walk(item, &place);
                }
            }
            _ => {}
        }
    }

    fn text(&self, text: &str, at: &Pointer) -> Result<Value, Box<Diagnostic>> {
        let span = self.map.span(at, false);
        let template = parse(text).map_err(|(message, offset)| {
            let place = span.as_ref().map(|s| self.inside(s, text, offset));
            let mut problem = Diagnostic::error("bad-expression", message).label("here").help(
                "expressions are written as in Terraform: `${var.peak * 2}`; write `$${` for a plain `${`",
            );
            problem.span = place;
            problem.pointer = Some(at.clone());
            Box::new(problem)
        })?;
        let result = match single(&template) {
            Some(expression) => {
                hcl::Expression::from(arithmetic::checked(expression.clone())).evaluate(&self.context)
            }
            None => hcl::template::Template::from(arithmetic::checked_template(template.clone()))
                .evaluate(&self.context)
                .map(hcl::Value::from),
        };
        let value = result.map_err(|error| Box::new(self.explain(error.kind(), &template, at)))?;
        let value = serde_json::to_value(&value).unwrap_or(Value::Null);
        if size(&value) > MAX_SIZE {
            return Err(Box::new(
                Diagnostic::error("too-large", format!("the value is larger than {} KiB", MAX_SIZE / 1024))
                    .at(self.map, at)
                    .label("too large")
                    .help("no key of a spec needs this"),
            ));
        }
        Ok(value)
    }

    /// The byte range of one character of `text`, which stands somewhere in `span`.
    fn inside(&self, span: &Span, text: &str, offset: usize) -> Span {
        let source = self.map.files.get(span.file).map_or("", |f| f.text.as_str());
        let written = source.get(span.start..span.end).unwrap_or("");
        match written.find(text) {
            Some(start) => {
                let at = source.floor_char_boundary((span.start + start + offset).min(span.end));
                let width = source[at..].chars().next().filter(|c| *c != '\n').map_or(0, char::len_utf8);
                Span { file: span.file, start: at, end: at + width }
            }
            None => span.clone(),
        }
    }

    fn explain(&self, kind: &ErrorKind, template: &Template, at: &Pointer) -> Diagnostic {
        let mut problem = Diagnostic::error("bad-expression", kind.to_string()).at(self.map, at);
        let mut narrow = None;
        match kind {
            ErrorKind::UndefinedVar(name) => {
                let name = name.as_str();
                problem.message = format!("there is no `{name}` to refer to");
                narrow = Some(name.to_owned());
                let help = match did_you_mean(name, ["var", "local"]) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None if self.variables.contains(name) => format!("write `var.{name}`"),
                    None if self.locals.contains(name) => format!("write `local.{name}`"),
                    None => "refer to `var.NAME` or `local.NAME`, and put text in quotes".to_owned(),
                };
                problem = problem.label("unknown").help(help);
            }
            ErrorKind::UndefinedFunc(name) => {
                let name = name.to_string();
                problem.message = format!("there is no function `{name}`");
                let known = functions::TABLE.iter().map(|f| f.name);
                let help = did_you_mean(&name, known.clone()).map_or_else(
                    || format!("functions: {}", known.collect::<Vec<_>>().join(", ")),
                    |near| format!("did you mean `{near}`?"),
                );
                problem = problem.label("unknown function").help(help);
                narrow = Some(name);
            }
            ErrorKind::NoSuchKey(name) => {
                let mut roots = Roots::default();
                roots.visit_template(template);
                let (noun, root, known) = if roots.seen.contains(&("var".to_owned(), name.clone())) {
                    ("variable", "var.", &self.variables)
                } else if roots.seen.contains(&("local".to_owned(), name.clone())) {
                    ("local", "local.", &self.locals)
                } else {
                    ("key", "", &self.locals)
                };
                problem.message = format!("there is no {noun} `{name}`");
                if known.contains(name) {
                    problem.message = format!("the {noun} `{name}` has no value");
                    problem = problem.help("correct the problem with it first");
                } else if noun == "key" {
                    problem = problem.help("the value that is looked into has no such key");
                } else {
                    let help = did_you_mean(name, known.iter().map(String::as_str)).map_or_else(
                        || {
                            format!(
                                "declare it in `{}`",
                                if noun == "local" { "locals" } else { "variables" }
                            )
                        },
                        |near| format!("did you mean `{root}{near}`?"),
                    );
                    problem = problem.help(help);
                }
                problem = problem.label(format!("unknown {noun}"));
                narrow = Some(format!("{root}{name}"));
            }
            ErrorKind::FuncCall(name, message) => {
                if let Some(symbol) = arithmetic::symbol(&name.to_string()) {
                    problem.message = format!("`{symbol}`: {message}");
                    return problem.label("in this expression").help("check the numbers that are combined");
                }
                problem.message = format!("`{name}`: {message}");
                problem = problem.label("this call");
                if let Some(f) = functions::TABLE.iter().find(|f| f.name == name.to_string()) {
                    problem = problem.help(format!("`{}`: {}", f.signature, f.doc));
                }
                narrow = Some(name.to_string());
            }
            _ => problem = problem.label("in this expression").help("check the types of what is combined"),
        }
        if let (Some(word), Some(span)) = (narrow, problem.span.clone()) {
            let source = self.map.files.get(span.file).map_or("", |f| f.text.as_str());
            let written = source.get(span.start..span.end).unwrap_or("");
            if let Some(start) = written.find(&word) {
                let start = span.start + start;
                problem.span = Some(Span { file: span.file, start, end: start + word.len() });
            }
        }
        problem
    }
}

/// Parses a text with expressions.
///
/// # Errors
/// What is wrong and the byte where.
pub fn parse(text: &str) -> Result<Template, (String, usize)> {
    let template: Template = text.parse().map_err(|e: hcl_edit::parser::Error| {
        (format!("not an expression: {}", e.message()), e.location().offset())
    })?;
    for element in &template {
        if let Element::Directive(_) = element {
            let offset = text.find("%{").unwrap_or(0);
            return Err((
                "`%{ ... }` is not part of the language; use a conditional, `${a ? b : c}`".to_owned(),
                offset,
            ));
        }
    }
    Ok(template)
}

/// The expression, if the text is one `${...}` and nothing else.
pub fn single(template: &Template) -> Option<&Expression> {
    let mut elements = template.iter();
    match (elements.next(), elements.next()) {
        (Some(Element::Interpolation(only)), None) => Some(&only.expr),
        _ => None,
    }
}

#[derive(Default)]
struct Roots {
    seen: BTreeSet<(String, String)>,
}

impl Visit for Roots {
    fn visit_traversal(&mut self, node: &hcl_edit::expr::Traversal) {
        if let (Expression::Variable(root), Some(first)) = (&node.expr, node.operators.first()) {
            let name = match first.value() {
                TraversalOperator::GetAttr(name) => Some(name.as_str().to_owned()),
                TraversalOperator::Index(Expression::String(name)) => Some(name.value().clone()),
                _ => None,
            };
            if let Some(name) = name {
                self.seen.insert((root.value().as_str().to_owned(), name));
            }
        }
        visit_traversal(self, node);
    }
}

/// The names that a value refers to below `root`.
fn references(value: &Value, root: &str) -> BTreeSet<String> {
    match value {
        Value::String(text) if is_template(text) => {
            let mut roots = Roots::default();
            if let Ok(template) = parse(text) {
                roots.visit_template(&template);
            }
            roots.seen.into_iter().filter(|(r, _)| r == root).map(|(_, name)| name).collect()
        }
        Value::Array(items) => items.iter().flat_map(|v| references(v, root)).collect(),
        Value::Object(map) => map.values().flat_map(|v| references(v, root)).collect(),
        _ => BTreeSet::new(),
    }
}

/// Puts what `name` needs and then `name` into `order`; the cycle if there is one.
fn visit<'a>(
    name: &'a str,
    needs: &BTreeMap<&'a str, BTreeSet<String>>,
    order: &mut Vec<&'a str>,
    path: &mut Vec<&'a str>,
) -> Result<(), Vec<&'a str>> {
    if order.contains(&name) {
        return Ok(());
    }
    if let Some(start) = path.iter().position(|n| *n == name) {
        return Err(path[start..].to_vec());
    }
    path.push(name);
    for need in needs.get(name).into_iter().flatten() {
        if let Some((need, _)) = needs.get_key_value(need.as_str()) {
            visit(need, needs, order, path)?;
        }
    }
    path.pop();
    order.push(name);
    Ok(())
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Number(_) => "number",
        Value::Bool(_) => "bool",
        Value::Array(_) => "list",
        Value::Object(_) => "map",
        Value::Null | Value::String(_) => "string",
    }
}

/// A text from the command line as a value of a type.
fn convert(text: &str, kind: &str) -> Option<Value> {
    match kind {
        "number" => {
            let number: serde_json::Number = match text.trim().parse::<i64>() {
                Ok(whole) => whole.into(),
                Err(_) => serde_json::Number::from_f64(text.trim().parse().ok()?)?,
            };
            Some(Value::Number(number))
        }
        "bool" => text.trim().parse().ok().map(Value::Bool),
        "list" | "map" => {
            let expression: hcl::Expression = arithmetic::checked(text.parse::<Expression>().ok()?).into();
            let value = serde_json::to_value(expression.evaluate(&functions::context()).ok()?).ok()?;
            (type_of(&value) == kind).then_some(value)
        }
        _ => Some(Value::from(text)),
    }
}

fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Object(map) => 1 + map.iter().map(|(k, v)| k.len() + size(v)).sum::<usize>(),
        _ => 1,
    }
}
