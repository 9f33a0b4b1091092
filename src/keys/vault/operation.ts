/** What Cairn asks of Vault. */

export interface VaultOperation {
  method: 'GET' | 'POST';
  /** Below `/v1/`, of characters that mean nothing else in a URL. */
  path: string;
  body?: Readonly<Record<string, string>>;
  /** What to do about a status, where that is not the same for everything: a sentence, of the answer's document if that says more. */
  advice: Readonly<Partial<Record<number, string | ((document: unknown) => string)>>>;
  /** Vault's answers may quote what was sent (`invalid secret_id "..."`): what it says is not repeated. */
  isLogin?: boolean;
}
