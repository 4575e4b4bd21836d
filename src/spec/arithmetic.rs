//! Arithmetic in expressions that cannot fail but by saying so.
//!
//! hcl-rs calculates with the language's own operators, which panic on `1 % 0` and on a whole number
//! that overflows. Every operator is therefore rewritten into a call of a function here, before evaluation.

use hcl::eval::{Context, Func, FuncArgs, FuncDef, ParamType};
use hcl::{Number, Value};
use hcl_edit::expr::{self, BinaryOperator, Expression, FuncCall, UnaryOperator};
use hcl_edit::visit_mut::{VisitMut, visit_expr_mut};
use hcl_edit::{Decorated, Ident, template::Template};

/// Names that no spec uses, so that an error reads well: "`%`: ..." needs a symbol, see [`symbol`].
const OPERATORS: [(&str, &str, Func); 5] = [
    ("__plus", "+", |a| calculate(&a, i128::checked_add, |x, y| x + y)),
    ("__minus", "-", |a| calculate(&a, i128::checked_sub, |x, y| x - y)),
    ("__times", "*", |a| calculate(&a, i128::checked_mul, |x, y| x * y)),
    ("__by", "/", divide),
    ("__rest", "%", |a| calculate(&a, i128::checked_rem, |x, y| x % y)),
];

/// Makes the functions known.
pub fn declare(context: &mut Context<'_>) {
    for (name, _, func) in OPERATORS {
        let definition = FuncDef::builder().params([ParamType::Number, ParamType::Number]).build(func);
        context.declare_func(name, definition);
    }
}

/// The operator that a function stands for.
pub fn symbol(function: &str) -> Option<&'static str> {
    OPERATORS.iter().find(|(name, ..)| *name == function).map(|(_, symbol, _)| *symbol)
}

/// The expression with every operator as a call.
pub fn checked(mut expression: Expression) -> Expression {
    Rewrite.visit_expr_mut(&mut expression);
    expression
}

/// The template with every operator as a call.
pub fn checked_template(mut template: Template) -> Template {
    Rewrite.visit_template_mut(&mut template);
    template
}

struct Rewrite;

impl VisitMut for Rewrite {
    fn visit_expr_mut(&mut self, node: &mut Expression) {
        visit_expr_mut(self, node);
        let (name, left, right) = match node {
            Expression::BinaryOp(op) => {
                let name = match op.operator.value() {
                    BinaryOperator::Plus => "__plus",
                    BinaryOperator::Minus => "__minus",
                    BinaryOperator::Mul => "__times",
                    BinaryOperator::Div => "__by",
                    BinaryOperator::Mod => "__rest",
                    _ => return,
                };
                (name, op.lhs_expr.clone(), op.rhs_expr.clone())
            }
            Expression::UnaryOp(op) if *op.operator.value() == UnaryOperator::Neg => {
                let zero = Expression::Number(hcl_edit::Formatted::new(0_u64.into()));
                ("__minus", zero, op.expr.clone())
            }
            _ => return,
        };
        let mut args = expr::FuncArgs::new();
        args.push(left);
        args.push(right);
        *node = FuncCall::new(Decorated::new(Ident::new_unchecked(name)), args).into();
    }
}

fn calculate(
    args: &FuncArgs,
    whole: fn(i128, i128) -> Option<i128>,
    real: fn(f64, f64) -> f64,
) -> Result<Value, String> {
    let (a, b) = numbers(args)?;
    let integer = |n: &Number| n.as_i64().map(i128::from).or_else(|| n.as_u64().map(i128::from));
    if let (Some(x), Some(y)) = (integer(&a), integer(&b)) {
        let result = whole(x, y).ok_or("the result is not a number")?;
        if let Ok(small) = i64::try_from(result) {
            return Ok(small.into());
        }
    }
    finite(real(to_f64(&a), to_f64(&b)))
}

/// `6 / 2` is the whole number 3, `1 / 2` is 0.5.
fn divide(args: FuncArgs) -> Result<Value, String> {
    let (a, b) = numbers(&args)?;
    let quotient = to_f64(&a) / to_f64(&b);
    if quotient.fract() == 0.0 && quotient.abs() < 9e15 {
        return Ok((quotient as i64).into());
    }
    finite(quotient)
}

fn numbers(args: &FuncArgs) -> Result<(Number, Number), String> {
    match (args.first().and_then(Value::as_number), args.get(1).and_then(Value::as_number)) {
        (Some(a), Some(b)) => Ok((*a, *b)),
        _ => Err("two numbers are needed".to_owned()),
    }
}

fn to_f64(n: &Number) -> f64 {
    n.as_f64().unwrap_or(f64::NAN)
}

fn finite(x: f64) -> Result<Value, String> {
    Number::from_f64(x).map(Value::Number).ok_or_else(|| "the result is not a number".to_owned())
}
