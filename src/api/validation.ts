/** Whether a value is what a schema says, and if not, which fields are wrong: in words for the one who sent it. */
import type { Static, TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { Value } from 'typebox/value';
import { CairnError, type FieldError } from '../errors.js';

/** What a validator of typebox reports. */
interface SchemaError {
  keyword: string;
  instancePath: string;
  message: string;
  params: object;
}

interface ObjectSchema {
  properties?: Record<string, ObjectSchema>;
  'x-rule'?: string;
}

/** A compiled schema. */
export class Validator<Schema extends TSchema> {
  private readonly compiled;

  constructor(private readonly schema: Schema) {
    this.compiled = Compile(schema);
  }

  /** The value itself; throws `invalid-request` with one entry for each wrong field. `whole` names the value, e.g. `body`. */
  check(value: unknown, whole: string): Static<Schema> {
    if (this.compiled.Check(value)) return value;
    const errors = this.errorsIn(value, whole);
    const summary = errors.map(({ field, detail }) => `${field} ${detail}`).join('; ');
    throw new CairnError('invalid-request', `The request is not valid: ${summary}.`, { errors });
  }

  /** The same for text from a URL: `true`, `12` and the like become what the schema asks for. */
  checkText(value: unknown, whole: string): Static<Schema> {
    return this.check(Value.Convert(this.schema, structuredClone(value)), whole);
  }

  /** One entry for each wrong field; empty if there is none. */
  errorsIn(value: unknown, whole: string): FieldError[] {
    const found = [...this.compiled.Errors(value)].flatMap((error) => this.explain(error as SchemaError, whole));
    const first = new Map(found.toReversed().map((error) => [error.field, error]));
    return [...first.values()].toReversed();
  }

  private explain(error: SchemaError, whole: string): FieldError[] {
    const field = error.instancePath.slice(1).replaceAll('/', '.');
    const under = (names: readonly string[], detail: string): FieldError[] =>
      names.map((name) => ({ field: field === '' ? name : `${field}.${name}`, detail }));
    const { requiredProperties, additionalProperties, allowedValues } = error.params as Record<
      string,
      string[] | undefined
    >;
    if (requiredProperties) return under(requiredProperties, 'is missing');
    if (additionalProperties) return under(additionalProperties, `is unknown${this.knownFields(field)}`);
    // Said once more for each unknown field, in worse words.
    if (error.keyword === 'boolean') return [];
    if (allowedValues)
      return [{ field, detail: `must be one of ${allowedValues.map((value) => JSON.stringify(value)).join(', ')}` }];
    const rule = error.keyword === 'pattern' ? propertyAt(this.schema, field)?.['x-rule'] : undefined;
    return [{ field: field === '' ? whole : field, detail: rule ?? error.message }];
  }

  private knownFields(field: string): string {
    if (field !== '') return '';
    const known = Object.keys((this.schema as ObjectSchema).properties ?? {});
    return known.length === 0 ? ': none is taken' : `: ${known.join(', ')} ${known.length === 1 ? 'is' : 'are'} known`;
  }
}

/** `limits.iops`: the schema of that property. */
function propertyAt(schema: ObjectSchema, path: string): ObjectSchema | undefined {
  return path.split('.').reduce<ObjectSchema | undefined>((at, name) => at?.properties?.[name], schema);
}
