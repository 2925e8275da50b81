declare module '*?raw' {
  const text: string;
  export default text;
}

/** Node's: specs run there, and only there. */
declare function setImmediate(callback: (value: unknown) => void): void;
