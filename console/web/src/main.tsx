import 'uplot/dist/uPlot.min.css';
import './styles/elements.css';
import './styles/shell.css';
import './styles/components.css';
import './styles/pages.css';
import { render } from 'preact';
import { App } from './app';
import './settings';

const root = document.createElement('div');
root.id = 'app';
document.body.append(root);
render(<App />, root);
