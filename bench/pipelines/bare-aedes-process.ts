/** The process of `bare-aedes.ts`. */
import { answerQuestions } from '../process.ts';
import { serveAedes } from './serve-aedes.ts';

answerQuestions(() => serveAedes({}));
